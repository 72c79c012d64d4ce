/* Users: passwords, virtual hosts, and expressions, each decided as regexec decides it. */
#include "tests/support/cmocka.h"

#include <regex.h>
#include <string.h>

#include "queue/catalog/replica.h"

static char *text(const char *s)
{
    return (char *)(uintptr_t)s;
}

static void only_the_right_password_is_taken(void **state)
{
    (void)state;
    struct queue_user users[] = {{.name = text("ann"), .password = text("secret")},
                                 {.name = text("bob"), .password = text("x")},
                                 {.name = text("eve")}}; /* password not read: nobody */
    struct queue_config config = {.users = users, .user_count = 3};
    static const struct {
        const char *name, *password;
        int user;
    } cases[] = {
        {"ann", "secret", 0},        {"ann", "secre", -1},  {"ann", "secrets", -1},
        {"ann", "secretsecret", -1}, {"ann", "", -1},       {"bob", "x", 1},
        {"bob", "xx", -1},           {"bob", "secret", -1}, {"eve", "", -1},
        {"eve", "no such user", -1}, {"", "", -1},          {"ANN", "secret", -1},
        {"zoe", "no such user", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct queue_user *u = catalog_user_check(&config, span_of(cases[i].name), span_of(cases[i].password));
        assert_ptr_equal(u, cases[i].user < 0 ? NULL : &users[cases[i].user]);
    }
    assert_null(catalog_user_check(&config, span_of("ann"), (struct mr_span){(const uint8_t *)"secret\0", 7}));
}

static void expressions_mean_what_regexec_says(void **state)
{
    (void)state;
    static const char *const expressions[] = {
        "",
        "^$",
        ".*",
        "^.*",
        "^.*$",
        ".*$",
        "^",
        "$",
        "a",
        "^a",
        "a$",
        "^a$",
        "^a.*",
        "^a.*$",
        "a.*",
        "^app\\.",
        "a.b",
        "^(a|app).*",
        "a+",
        "^ab?$",
        "^a\\.b$",
        "[a-c]+",
        "^app-",
        "a|b",
        "^app$|",
        "x{2}",
        "a\\.*",
        "^a*$",
        "^amq\\.default$",
    };
    static const char *const names[] = {"a",     "ab", "b", "app",         "app.b", "a.b",
                                        "app-x", "xx", "x", "amq.default", "zapp",  "cab"};
    for (size_t i = 0; i < sizeof expressions / sizeof expressions[0]; i++) {
        struct queue_permission p = {
            .vhost = text("/"), .configure = text("^never$"), .write = text(expressions[i]), .read = text("^never$")};
        struct queue_user u = {.name = text("u"), .permissions = &p, .permission_count = 1};
        struct queue_config config = {.users = &u, .user_count = 1};
        regex_t regex;
        assert_int_equal(regcomp(&regex, *expressions[i] ? expressions[i] : "^$", REG_EXTENDED | REG_NOSUB), 0);
        assert_true(catalog_users_open(&config));
        for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
            bool wanted = regexec(&regex, names[k], 0, NULL, 0) == 0;
            if (catalog_user_may(&u, "/", RIGHT_WRITE, span_of(names[k])) != wanted)
                fail_msg("'%s' on '%s': expected %d", expressions[i], names[k], wanted);
            assert_false(catalog_user_may(&u, "/", RIGHT_READ, span_of(names[k])));
            assert_false(catalog_user_may(&u, "/", RIGHT_CONFIGURE, span_of(names[k])));
        }
        /* The default exchange goes by a name of its own. */
        assert_int_equal(catalog_user_may(&u, "/", RIGHT_WRITE, span_of("")),
                         regexec(&regex, "amq.default", 0, NULL, 0) == 0);
        regfree(&regex);
        catalog_users_close(&config);
    }
}

static void permissions_are_by_virtual_host(void **state)
{
    (void)state;
    struct queue_permission p = {.vhost = text("a"), .configure = text(""), .write = text("^w-"), .read = text(".*")};
    struct queue_user u = {.name = text("u"), .permissions = &p, .permission_count = 1}, all = {.name = text("all")};
    struct queue_config config = {.users = &u, .user_count = 1};
    assert_true(catalog_users_open(&config));
    assert_true(catalog_user_vhost(&u, "a") && !catalog_user_vhost(&u, "/") && catalog_user_vhost(&all, "/"));
    assert_true(catalog_user_may(&u, "a", RIGHT_READ, span_of("x")));
    assert_false(catalog_user_may(&u, "/", RIGHT_READ, span_of("x")));
    assert_false(catalog_user_may(&u, "a", RIGHT_CONFIGURE, span_of("x")));
    assert_true(catalog_user_may(&u, "a", RIGHT_WRITE, span_of("w-1")));
    assert_false(catalog_user_may(&u, "a", RIGHT_WRITE, span_of("v-1")));
    assert_true(catalog_user_may(&all, "/", RIGHT_CONFIGURE, span_of("x")));
    catalog_users_close(&config);
    p.read = text("(");
    assert_false(catalog_users_open(&config));
    catalog_users_close(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_right_password_is_taken),
        cmocka_unit_test(expressions_mean_what_regexec_says),
        cmocka_unit_test(permissions_are_by_virtual_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
