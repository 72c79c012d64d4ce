/* The page of /orders: a form, the orders taken so far, and the answer to an order, which comes when its queue has confirmed it. */
#include <stdio.h>
#include <string.h>

#include "http/orders.h"

#define HTML "text/html; charset=utf-8"
#define TEXT "text/plain; charset=utf-8"

static const char page[] =
    "<!doctype html><html lang=en><meta charset=utf-8><title>Orders</title>"
    "<style>body{font:1.1rem system-ui;margin:4rem auto;max-width:30rem}b{font-size:3rem}input{font:inherit}</style>"
    "<p>%s</p>"
    "<form method=post action=/orders>"
    "<p><label>Item <input name=item maxlength=80 required></label>"
    "<p><label>Quantity <input name=quantity type=number min=1 max=1000 value=1></label> <button>Order</button></form>"
    "<p>Orders taken so far<br><b id=taken>%llu</b></p>"
    "<p>An order is a message of the queue <code>orders</code>; a worker of the same process takes it, counts it in "
    "the "
    "cache, and acknowledges it.</p>"
    "<script>setInterval(async()=>{try{const r=await fetch('/orders/count');"
    "if(r.ok)document.getElementById('taken').textContent=await r.text()}catch{}},1000)</script></html>\n";

static void page_answer(struct http_connection *c, int status, const char *sentence, uint64_t taken)
{
    char text[sizeof page + 256];
    int n = snprintf(text, sizeof text, page, sentence, (unsigned long long)taken);
    http_answer_text(c, status, HTML, text, (size_t)n);
}

/* -- the count -------------------------------------------------------------------------------------------------------- */

/* The count is a number, whether the cache keeps it as one or as its digits. */
static uint64_t taken_of(const struct mr_cache_answer *a)
{
    uint64_t taken = a->kind == MR_CACHE_INTEGER && a->integer > 0 ? (uint64_t)a->integer : 0;
    if (a->kind == MR_CACHE_STRING)
        for (size_t i = 0; i < a->text.length && i < 19 && a->text.data[i] >= '0' && a->text.data[i] <= '9'; i++)
            taken = taken * 10 + (a->text.data[i] - '0');
    return taken;
}

static void counted(void *context, const struct mr_cache_answer *a)
{
    struct http_call *call = context;
    struct http *http = call->http;
    struct http_connection *c = http_call_back(call);
    char digits[20];
    if (!c) {
        ;
    } else if (a->kind == MR_CACHE_ERROR) {
        http_answer_json_error(c, 503, "the cache cannot say how many");
    } else if (call->wanted) { /* the whole page */
        page_answer(c, 200, "What would you like?", taken_of(a));
    } else {
        http_answer_text(c, 200, TEXT, digits, http_number_format(taken_of(a), digits));
    }
    http_call_give(call);
    http_call_ended(c, http);
}

static void count_ask(struct http_connection *c, bool whole)
{
    struct mr_cache *cache = mr_cache_find(c->http->worker);
    struct http_call *call = http_call_take(c);
    if (!call)
        return;
    call->wanted = whole;
    if (mr_cache_get(cache, http_orders_text(ORDERS_COUNT_KEY), counted, call) == MR_OK)
        http_call_wait(c, call);
    else
        http_call_error(c, call, 503, "the cache is at a limit: try again later");
}

/* -- an order --------------------------------------------------------------------------------------------------------- */

/* The value of a field of application/x-www-form-urlencoded, decoded into `to`; its length, or SIZE_MAX: none, or malformed. */
static size_t form_field(struct mr_span form, const char *name, uint8_t *to, size_t room)
{
    size_t n = strlen(name), used = 0;
    const uint8_t *p = form.data, *end = p + form.length;
    while ((size_t)(end - p) > n && (memcmp(p, name, n) != 0 || p[n] != '=')) {
        p = memchr(p, '&', (size_t)(end - p));
        if (!p)
            return SIZE_MAX;
        p++;
    }
    if ((size_t)(end - p) <= n)
        return SIZE_MAX;
    for (p += n + 1; p < end && *p != '&' && used < room; p++) {
        to[used++] = *p == '+' ? ' ' : *p;
        if (*p != '%')
            continue;
        int code = http_percent_decode(p, (size_t)(end - p));
        if (code < 0)
            return SIZE_MAX;
        to[used - 1] = (uint8_t)code;
        p += 2;
    }
    return p == end || *p == '&' ? used : SIZE_MAX;
}

static void confirmed(void *context, enum mr_queue_outcome outcome)
{
    struct http_call *call = context;
    struct http *http = call->http;
    struct http_connection *c = http_call_back(call);
    if (!c)
        http_call_give(call);
    else if (outcome != MR_QUEUE_DONE)
        http_call_outcome(c, call, outcome);
    else {
        static const char text[] =
            "<!doctype html><html lang=en><meta charset=utf-8><title>Ordered</title>"
            "<style>body{font:1.1rem system-ui;margin:4rem auto;max-width:30rem}</style>"
            "<p>Your order is taken: its queue has confirmed it.</p><p><a href=/orders>Back</a></p>\n";
        http_answer_text(c, 201, HTML, text, sizeof text - 1);
        http_call_give(call);
    }
    http_call_ended(c, http);
}

/* {"item": ..., "quantity": ...} */
static void order_publish(struct http_connection *c, struct http_call *call)
{
    uint8_t item[80], quantity[4];
    char bytes[640]; /* an item whose every byte is escaped, and the rest */
    struct mr_span form = {call->bytes, call->used};
    struct mr_queues *q = mr_queues_find(c->http->worker);
    size_t n = form_field(form, "item", item, sizeof item), k = form_field(form, "quantity", quantity, sizeof quantity);
    uint64_t number = 0;
    if (!q) {
        http_call_error(c, call, 503, HTTP_NO_QUEUES);
        return;
    }
    for (size_t i = 0; k != SIZE_MAX && i < k; i++)
        number = quantity[i] >= '0' && quantity[i] <= '9' ? number * 10 + (quantity[i] - '0') : UINT16_MAX;
    if (n == SIZE_MAX || n == 0 || !utf8_valid((struct mr_span){item, n}) || number < 1 || number > 1000) {
        http_call_error(c, call, 400, "an order is an item of at most 80 bytes and a quantity of 1 to 1000");
        return;
    }
    struct json_out o = {.data = bytes, .room = sizeof bytes};
    json_put_open(&o, NULL, '{');
    json_put_text(&o, "item", (struct mr_span){item, n});
    json_put_number(&o, "quantity", number);
    json_put_close(&o, '}');
    struct mr_queue_message m = {.key = http_orders_text(ORDERS_QUEUE),
                                 .body = {(const uint8_t *)bytes, o.used},
                                 .content_type = http_orders_text("application/json")};
    int error = mr_queue_publish(q, &m, confirmed, call);
    if (error == MR_OK)
        http_call_wait(c, call);
    else
        http_call_refused(c, call, error);
}

void http_orders_page_answer(struct http_connection *c, const struct http_request *r, const uint8_t *head)
{
    struct mr_span path = http_request_text(head, r->path);
    struct http_call *call;
    bool count = http_text_equal(path, "/orders/count"), whole = http_text_equal(path, "/orders");
    if (!whole && !(count && r->method != HTTP_POST))
        http_answer_error(c, 404);
    else if (!mr_queues_find(c->http->worker))
        http_answer_json_error(c, 503, HTTP_NO_QUEUES);
    else if (!mr_cache_find(c->http->worker))
        http_answer_json_error(c, 503, "no cache runs in this process: add `cache:` to its services");
    else if (r->method != HTTP_POST)
        count_ask(c, whole);
    else if (http_request_foreign(r, head))
        http_answer_json_error(c, 403, "asked for by a page of another site");
    else if ((call = http_call_take(c)) != NULL) {
        call->run = order_publish;
        http_call_after_body(c, call);
    }
}
