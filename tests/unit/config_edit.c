/* Changes to a configuration in memory: by path and value, over the tables of a fake service whose keys nest. */
#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "config/config_edit.h"
#include "config/config_tree.h"
#include "tests/support/fake_service.h"

struct world {
    struct fake_tree tree;
    char message[700];
    struct config_edit edit;
};

static struct world *world_create(void)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->edit = (struct config_edit){fake_tree_keys, &w->tree, w->message, sizeof w->message};
    unsigned at;
    assert_true(config_edit_set(&w->edit, "soil.colour", (const char *[]){"brown"}, 1));
    assert_true(config_edit_add(&w->edit, "branches", "oak", NULL, &at));
    assert_true(config_edit_add(&w->edit, "branches", "oak.old", NULL, &at));
    assert_true(config_edit_add(&w->edit, "branches.oak.leaves", "a", NULL, &at));
    assert_true(config_edit_add(&w->edit, "branches.oak.leaves", "b", NULL, &at));
    return w;
}

static void world_free(struct world *w)
{
    config_tree_free(fake_tree_keys, &w->tree);
    free(w);
}

static bool set(struct world *w, const char *path, const char *value)
{
    return config_edit_set(&w->edit, path, &value, 1);
}

static void values_are_set_wherever_they_nest(void **state)
{
    struct world *w = world_create();
    assert_true(set(w, "soil.clay", "20%"));
    assert_true(w->tree.soil.clay == 0.2);
    assert_true(set(w, "soil/colour", "red"));
    assert_string_equal(w->tree.soil.colour, "red");
    assert_true(set(w, "branches.oak.mode", "udp"));
    assert_int_equal(w->tree.branches[0].mode, 1);
    assert_true(set(w, "branches[1].bark.moss.weight", "9"));
    assert_int_equal(w->tree.branches[1].bark.moss.weight, 9);
    assert_true(set(w, "branches.oak.leaves.b.weight", "5"));
    assert_int_equal(w->tree.branches[0].leaves[1].weight, 5);
    assert_true(set(w, "branches[0].leaves[0].weight", "6"));
    assert_int_equal(w->tree.branches[0].leaves[0].weight, 6);
    world_free(w);
}

static void the_longest_name_that_fits_is_meant(void **state)
{
    struct world *w = world_create();
    assert_true(set(w, "branches.oak.old.mode", "http"));
    assert_int_equal(w->tree.branches[1].mode, 2);
    assert_int_equal(w->tree.branches[0].mode, 0);
    world_free(w);
}

static void an_element_comes_with_every_preset_in_its_place(void **state)
{
    struct world *w = world_create();
    unsigned at = 9;
    assert_true(config_edit_add(&w->edit, "branches", "elm", "oak.old", &at));
    assert_int_equal(at, 1);
    const struct fake_branch *b = w->tree.branches;
    assert_int_equal(w->tree.branch_count, 3);
    assert_string_equal(b[0].name, "oak");
    assert_string_equal(b[1].name, "elm");
    assert_string_equal(b[2].name, "oak.old");
    assert_int_equal(b[1].bark.age, MR_SECOND);
    assert_int_equal(b[1].bark.moss.weight, 3);
    assert_int_equal(b[0].leaf_count, 2);
    assert_string_equal(b[0].leaves[1].name, "b");
    world_free(w);
}

static void what_is_removed_leaves_the_others_in_order(void **state)
{
    struct world *w = world_create();
    assert_true(config_edit_remove(&w->edit, "branches.oak.leaves.a"));
    assert_int_equal(w->tree.branches[0].leaf_count, 1);
    assert_string_equal(w->tree.branches[0].leaves[0].name, "b");
    assert_true(config_edit_remove(&w->edit, "branches[0]"));
    assert_int_equal(w->tree.branch_count, 1);
    assert_string_equal(w->tree.branches[0].name, "oak.old");
    assert_true(config_edit_remove(&w->edit, "branches.oak.old"));
    assert_int_equal(w->tree.branch_count, 0);
    world_free(w);
}

static void a_list_of_values_is_set_whole(void **state)
{
    struct world *w = world_create();
    const char *tags[] = {"x", "y, z", "3", "4"};
    assert_true(config_edit_set(&w->edit, "branches.oak.tags", tags, 3));
    assert_int_equal(w->tree.branches[0].tag_count, 3);
    assert_string_equal(w->tree.branches[0].tags[1], "y, z");
    assert_false(config_edit_set(&w->edit, "branches.oak.tags", tags, 4));
    assert_non_null(strstr(w->message, "at most 3 values, 4 given"));
    assert_true(set(w, "branches.oak.tags", "alone"));
    assert_int_equal(w->tree.branches[0].tag_count, 1);
    assert_null(w->tree.branches[0].tags[1]);
    assert_true(config_edit_unset(&w->edit, "branches.oak.tags"));
    assert_int_equal(w->tree.branches[0].tag_count, 0);
    world_free(w);
}

static void unset_is_back_to_the_preset(void **state)
{
    struct world *w = world_create();
    assert_true(set(w, "soil.clay", "1"));
    assert_true(config_edit_unset(&w->edit, "soil.clay"));
    assert_true(w->tree.soil.clay == 0.1);
    assert_false(config_edit_unset(&w->edit, "branches.oak.name"));
    assert_non_null(strstr(w->message, "must be given"));
    assert_false(config_edit_unset(&w->edit, "soil"));
    assert_non_null(strstr(w->message, "no single value"));
    world_free(w);
}

/* Each is refused with these words, and changes nothing. */
static const struct refuse_case {
    enum { SET, ADD, REMOVE } kind;
    const char *path, *value, *part;
} refuse_cases[] = {
    {SET, "", "1", "no key ''"},
    {SET, "soul", "1", "no key 'soul', expected one of soil, branches, roots"},
    {SET, "soil.clai", "1", "no key 'clai' in soil, expected one of clay, colour"},
    {SET, "soil", "1", "is a mapping"},
    {SET, "branches", "1", "is a list"},
    {SET, "branches.oak", "1", "is a list"},
    {SET, "soil[0]", "1", "nothing inside"},
    {SET, "soil.clay.more", "1", "nothing inside"},
    {SET, "soil.clay", "2", "soil.clay is '2', expected a fraction"},
    {SET, "branches.elm.mode", "tcp", "branches has no element 'elm.mode'"},
    {SET, "branches[2].mode", "tcp", "branches has no element '[2].mode'"},
    {SET, "branches[-1].mode", "tcp", "no element"},
    {SET, "branches[0x1].mode", "tcp", "no element"},
    {SET, "branches[].mode", "tcp", "no element"},
    {SET, "branches[0]mode", "tcp", "no element"},
    {SET, "branches[99999999999999999999].mode", "tcp", "no element"},
    {SET, "branches..mode", "tcp", "no element"},
    {SET, "branches.oak.mode", "sctp", "expected one of tcp, udp, http"},
    {SET, "branches.oak.leaves.a.weight", "10", "from 0 to 9"},
    {SET, "branches.oak.leaves.a.name", "", "expected text of 1 to 20 characters"},
    {ADD, "soil", "x", "is no list"},
    {ADD, "soil.clay", "x", "is no list"},
    {ADD, "branches.oak", "x", "is no list"},
    {ADD, "branches", "oak", "has 'oak' already"},
    {ADD, "branches.oak.leaves", "a name of more than twenty", "expected text of 1 to 20"},
    {REMOVE, "branches", NULL, "no element of a list"},
    {REMOVE, "soil.clay", NULL, "no element of a list"},
    {REMOVE, "branches.elm", NULL, "has no element 'elm'"},
};

static bool change(struct world *w, const struct refuse_case *c)
{
    unsigned at;
    return c->kind == SET   ? set(w, c->path, c->value)
           : c->kind == ADD ? config_edit_add(&w->edit, c->path, c->value, NULL, &at)
                            : config_edit_remove(&w->edit, c->path);
}

static void what_cannot_be_changes_nothing_and_says_why(void **state)
{
    struct world *w = world_create();
    struct fake_tree before;
    assert_true(config_tree_copy(fake_tree_keys, sizeof before, &before, &w->tree));
    for (unsigned i = 0; i < sizeof refuse_cases / sizeof *refuse_cases; i++) {
        w->message[0] = 0;
        if (change(w, &refuse_cases[i]) || !strstr(w->message, refuse_cases[i].part))
            fail_msg("'%s' is answered '%s', expected '%s'", refuse_cases[i].path, w->message, refuse_cases[i].part);
        assert_true(config_tree_equal(fake_tree_keys, &before, &w->tree, NULL));
    }
    config_tree_free(fake_tree_keys, &before);
    world_free(w);
}

static void a_list_takes_no_more_than_its_most(void **state)
{
    struct world *w = world_create();
    unsigned at;
    assert_true(config_edit_add(&w->edit, "branches.oak.leaves", "c", NULL, &at));
    assert_false(config_edit_add(&w->edit, "branches.oak.leaves", "d", NULL, &at));
    assert_non_null(strstr(w->message, "has 3 elements, and may not have more"));
    world_free(w);
}

static void what_must_be_given_is_missed(void **state)
{
    struct world *w = world_create();
    unsigned at;
    assert_false(config_edit_complete(&w->edit));
    assert_string_equal(w->message, "branches.oak.old.leaves is missing, expected a list, each item after a dash");
    assert_true(config_edit_add(&w->edit, "branches[1].leaves", NULL, NULL, &at));
    assert_false(config_edit_complete(&w->edit));
    assert_string_equal(w->message, "branches.oak.old.leaves[0].name is missing, expected text of 1 to 20 characters");
    assert_true(set(w, "branches[1].leaves[0].name", "x"));
    assert_true(config_edit_complete(&w->edit));
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_set_wherever_they_nest),
        cmocka_unit_test(the_longest_name_that_fits_is_meant),
        cmocka_unit_test(an_element_comes_with_every_preset_in_its_place),
        cmocka_unit_test(what_is_removed_leaves_the_others_in_order),
        cmocka_unit_test(a_list_of_values_is_set_whole),
        cmocka_unit_test(unset_is_back_to_the_preset),
        cmocka_unit_test(what_cannot_be_changes_nothing_and_says_why),
        cmocka_unit_test(a_list_takes_no_more_than_its_most),
        cmocka_unit_test(what_must_be_given_is_missed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
