/* What one peer, and all of them together, can make a worker hold. Those with a configuration key are presets (http.c
 * has the table); the others are fixed because no one has yet had a reason to change them. */
#ifndef SERVICES_HTTP_LIMITS_H
#define SERVICES_HTTP_LIMITS_H

#include <stdint.h>

/* Fixed. */
#define HTTP_FIELDS_MAX                100 /* size of the field array of a request; `header_count_max` is at most this */
#define HTTP_METHOD_BYTES_MAX          32  /* RFC 9112 3: a longer method than any implemented is a 501 */
#define HTTP_PATH_BYTES_MAX            1024 /* decoded path: twice the longest path that a sane site has; longer is a 404 */
#define HTTP_CHUNK_LINE_BYTES_MAX      256  /* chunk size and extensions: nobody uses them but to waste our time */
#define HTTP_CHUNK_EXTENSION_BYTES_MAX 4096 /* extensions of one body: RFC 9112 7.1.1 asks for a total limit */
#define HTTP_TRAILER_BYTES_MAX         4096 /* trailer section: read, checked, thrown away */
#define HTTP_DISCARD_BYTES_MAX         (64 << 10) /* unread body that we throw away to keep a connection; more costs it */
#define HTTP_LINGER_BYTES_MAX          (1 << 20) /* input ignored after a final response before the connection is cut */
#define HTTP_COPY_BYTES_MAX            2048 /* a body up to this is copied with its head: cheaper than a lend of its own */
#define HTTP_HEAD_ROOM                 768        /* room for the head of a cached response, in front of its body */
#define HTTP_ETAG_BYTES                52         /* "inode-size-mtime" in hex with quotes and a zero: 3 * 16 + 2 + 2 */
#define HTTP_BUFFER_BYTES_MIN          (16 << 10) /* a pooled buffer also holds what a response could not send: /status fits */
#define HTTP_READ_BYTES                (128 << 10) /* one read of a streamed file: large enough to hide a disk seek */
#define HTTP_READS_PER_CONNECTION      2           /* one on its way to the peer, one being read */
#define HTTP_VISITS_MAX                1024        /* answers of the cache that /visits waits for; more are a 503 */
#define HTTP_PATTERN_BYTES             (64 << 10)  /* period of /bytes/N */
#define HTTP_FRESH_TIME                MR_SECOND   /* a cached file is compared with the disk at most this often */
#define HTTP_STALE_TIME                (2 * MR_SECOND) /* older than this, a request waits for the comparison */
#define HTTP_EVICT_STEPS               64 /* entries looked at to find one to evict: bounds the work of a miss */
#define HTTP_BYTES_MAX                 (UINT64_C(1) << 40) /* /bytes/N: N is at most 1 TiB; it costs no memory */

#endif
