/* /orders: a small order intake, the example of a handler that publishes and of a worker in the process.
 *
 *   page -- POST /orders --> queue "orders" -- message --> worker -- increment --> cache "orders:taken" --> GET /orders/count
 *              201 <-- confirmed --'                          '--- acknowledge --> queue */
#ifndef SERVICES_HTTP_ORDERS_H
#define SERVICES_HTTP_ORDERS_H

#include "http/call.h"

#define ORDERS_QUEUE     "orders"
#define ORDERS_COUNT_KEY "orders:taken"

/* orders_worker.c: declares the queue once there is a queue service, and takes what comes. */
int http_orders_start(struct http *http);
void http_orders_stop(struct http *http);
void http_orders_release(struct http *http);

static inline struct mr_span http_orders_text(const char *text)
{
    return (struct mr_span){(const uint8_t *)text, __builtin_strlen(text)};
}

#endif
