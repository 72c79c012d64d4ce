#include "http/char_class.h"

#define ALL   (HTTP_CHAR_TOKEN | HTTP_CHAR_PATH | HTTP_CHAR_HOST)
#define PATH  HTTP_CHAR_PATH
#define HOST  HTTP_CHAR_HOST
#define TOKEN HTTP_CHAR_TOKEN

const uint8_t http_char_class[256] = {
    ['0' ... '9'] = ALL, ['A' ... 'Z'] = ALL, ['a' ... 'z'] = ALL, ['-'] = ALL,          ['.'] = ALL,
    ['_'] = ALL,         ['~'] = ALL,         ['!'] = ALL,         ['$'] = ALL,          ['&'] = ALL,
    ['\''] = ALL,        ['*'] = ALL,         ['+'] = ALL,         ['('] = PATH | HOST,  [')'] = PATH | HOST,
    [','] = PATH,        [';'] = PATH | HOST, ['='] = PATH | HOST, [':'] = PATH | HOST,  ['@'] = PATH,
    ['/'] = PATH,        ['['] = PATH | HOST, [']'] = PATH | HOST, ['|'] = PATH | TOKEN, ['%'] = TOKEN | HOST,
    ['#'] = TOKEN,       ['^'] = TOKEN,       ['`'] = TOKEN,
};
