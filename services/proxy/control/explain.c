#include "proxy/control/words.h"
bool control_explain(struct control_call *c)
{
    (void)c;
    return false;
}
