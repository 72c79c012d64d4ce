/* What a peer can make the queue service hold. Configuration lowers some of them; none is without one. */
#ifndef SERVICES_QUEUE_LIMITS_H
#define SERVICES_QUEUE_LIMITS_H

#define QUEUE_WORKERS_MAX     64
#define QUEUE_NAME_MAX        255u        /* a short string (AMQP 0-9-1 section 4.2.5.3) */
#define QUEUE_TABLE_MAX       (60u << 10) /* bytes of one field table: arguments, headers */
#define QUEUE_PROPERTIES_MAX  (62u << 10) /* of a message, flags and list: with both names they are one allocation */
#define QUEUE_TABLE_DEPTH_MAX 16u         /* tables and arrays within each other */
#define QUEUE_PRIORITIES      256u        /* x-max-priority is at most 255 */
#define QUEUE_FRAME_MIN       4096u       /* frame-min-size of the specification */
#define QUEUE_TRANSIT_MAX     256u        /* deliveries of one consumer that its connection has not written yet */
#define QUEUE_TRANSIT_BYTES   (1u << 20)  /* and their bodies' bytes; one delivery is always allowed */
#define QUEUE_X_DEATH_MAX     64u         /* entries of an x-death header; the oldest go */

#endif
