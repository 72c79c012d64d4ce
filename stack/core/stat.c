#include "stack/core/stat.h"

const struct stat_description stat_descriptions[STAT_COUNT] = {
#define COUNTER(area, name, sentence) {#area, #name, sentence, 0},
#define DROP(area, name, sentence) {#area, #name, sentence, 1},
#include "stack/core/stat_all.def"
};
