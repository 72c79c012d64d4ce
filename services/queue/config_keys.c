/* Every key of the queue's configuration, stated once: parsing, messages, the reference and the editor's schema come from here. */
#include <stddef.h>

#include "queue/config.h"

#define DAY (86400 * MR_SECOND)
#define GIB (UINT64_C(1) << 30)

/* One line a key; `structure` is what the table is of. */
#define KEY(structure, member, kind, ...)                                                                    \
    {                                                                                                        \
        .name = #member, .type = MR_CONFIG_##kind, .offset = offsetof(struct structure, member), __VA_ARGS__ \
    }
#define RANGE(least, most) .minimum = (least), .maximum = (most)
#define ELEMENTS(structure, count, most, element, table)                                                      \
    .optional = true, .list_max = (most), .count_offset = offsetof(struct structure, count), .keys = (table), \
    .element_bytes = sizeof(struct element)

#define PERMISSION(member, kind, ...) KEY(queue_permission, member, kind, __VA_ARGS__)
static const struct mr_config_key permission_keys[] = {
    PERMISSION(vhost, STRING, .preset = "/", .sentence = "the virtual host that this is about"),
    PERMISSION(configure, STRING, .preset = ".*",
               .sentence = "names that may be declared and deleted: an extended regular expression; \"\": none"),
    PERMISSION(write, STRING, .preset = ".*", .sentence = "names that may be published and bound to, likewise"),
    PERMISSION(read, STRING, .preset = ".*", .sentence = "names that may be consumed and bound from, likewise"),
    {0},
};

#define USER(member, kind, ...) KEY(queue_user, member, kind, __VA_ARGS__)
static const struct mr_config_key user_keys[] = {
    USER(name, STRING, .sentence = "as clients log in"),
    USER(password, STRING, .optional = true, .sentence = "what they must say; or `password_file`"),
    USER(password_file, PATH, .optional = true,
         .sentence = "a file whose first line is the password, read at start: this file can then be shown"),
    USER(permissions, LIST,
         ELEMENTS(queue_user, permission_count, QUEUE_PERMISSIONS_MAX, queue_permission, permission_keys),
         .sentence = "what the user may, one a virtual host; none: everything in every virtual host"),
    {0},
};

static const struct mr_config_key vhost_keys[] = {
    KEY(queue_vhost, name, STRING, .sentence = "as clients name it; \"/\" is the usual one"),
    {0},
};

#define QUEUE(member, kind, ...) KEY(queue_config, member, kind, __VA_ARGS__)
const struct mr_config_key queue_keys[] = {
    QUEUE(listen, ENDPOINT, .preset = ":5672",
          .sentence = "address and port for AMQP 0-9-1, as RabbitMQ's clients speak it"),
    QUEUE(folder, PATH, .optional = true,
          .sentence = "where the logs lie, made when absent; without it nothing outlives the process, durable queues "
                      "included"),
    QUEUE(durability, CHOICE, .preset = "fsync", .choices = QUEUE_DURABILITY_NAMES,
          .sentence = "when a persistent message in a durable queue is confirmed. memory: at once, and it is lost when "
                      "the process ends; written: when the kernel has it, and it is lost when the power fails; fsync: "
                      "when the disk has said that it has it. The queue argument x-durability says otherwise for one "
                      "queue"),
    QUEUE(memory_max, BYTES, RANGE(4 << 20, UINT64_C(1) << 40), .preset = "256MiB",
          .sentence = "bytes of messages, queues and sessions, shared out to the workers (no more than 63GiB each); "
                      "above three quarters publishers are held up"),
    QUEUE(disk_free_min, BYTES, RANGE(0, UINT64_C(1) << 50), .preset = "64MiB",
          .sentence = "free space of the folder below which publishers are held up"),
    QUEUE(segment_bytes, BYTES, RANGE(64 << 10, GIB), .preset = "16MiB",
          .sentence = "of one file of a log; space comes back in such pieces"),
    QUEUE(connections_max, UNSIGNED, RANGE(1, 1 << 20), .preset = "4096", .unit = "connections",
          .sentence = "open connections per worker; more are refused"),
    QUEUE(channels_max, UNSIGNED, RANGE(1, 65535), .preset = "2047", .unit = "channels",
          .sentence = "of one connection, as proposed to the client"),
    QUEUE(frame_bytes_max, BYTES, RANGE(QUEUE_FRAME_MIN, 1 << 20), .preset = "128KiB",
          .sentence = "of one frame, as proposed to the client; a larger one closes the connection"),
    QUEUE(message_bytes_max, BYTES, RANGE(1024, UINT64_C(512) << 20), .preset = "128MiB",
          .sentence =
              "of one body, and at most half of what memory_max gives a worker; a larger one closes the channel"),
    QUEUE(queues_max, UNSIGNED, RANGE(1, 1 << 20), .preset = "10000", .unit = "queues",
          .sentence = "of all virtual hosts together, exchanges likewise; bindings 16 times as many"),
    QUEUE(unacknowledged_max, UNSIGNED, RANGE(1, 1 << 20), .preset = "65536", .unit = "deliveries",
          .sentence = "not acknowledged, of one channel, whatever prefetch it asked for"),
    QUEUE(heartbeat, DURATION, RANGE(0, 65535 * MR_SECOND), .preset = "60s",
          .sentence = "proposed to clients; who is silent for two of them is cut; 0s: none"),
    QUEUE(handshake_timeout, DURATION, RANGE(100 * MR_MILLISECOND, DAY), .preset = "10s",
          .sentence = "from the connection to its virtual host being open; later is cut"),
    QUEUE(vhosts, LIST, ELEMENTS(queue_config, vhost_count, QUEUE_VHOSTS_MAX, queue_vhost, vhost_keys),
          .sentence = "virtual hosts, each with exchanges and queues of its own; none: \"/\" alone"),
    QUEUE(users, LIST, ELEMENTS(queue_config, user_count, QUEUE_USERS_MAX, queue_user, user_keys),
          .sentence = "who may log in; none: guest with the password guest, who may everything"),
    {0},
};
