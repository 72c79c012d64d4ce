#include "services.h"

#include "echo/echo.h"
#include "http/http.h"

const struct mr_service *const services_all[] = {&echo_service, &http_service, NULL};
