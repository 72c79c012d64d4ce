/* Which frames a capture keeps. Private to the capture. */
#ifndef DRIVERS_WRAP_CAPTURE_FILTER_H
#define DRIVERS_WRAP_CAPTURE_FILTER_H

#include "drivers/wrap/capture.h"

/* `data` are the first `n` bytes of the frame. */
bool capture_filter_matches(const struct capture_filter *f, const uint8_t *data, size_t n);

#endif
