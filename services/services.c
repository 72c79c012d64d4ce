#include "services.h"

#include "cache/cache.h"
#include "echo/echo.h"
#include "http/http.h"
#include "proxy/proxy.h"
#include "queue/broker.h"

const struct mr_service *const services_all[] = {&cache_service, &echo_service,  &http_service,
                                                 &proxy_service, &queue_service, NULL};
