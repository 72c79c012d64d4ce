#include "services.h"

#include "echo/echo.h"

const struct mr_service *const services_all[] = {&echo_service, NULL};
