/* sources: src/base/json_tree.c */
/*
 * json_tree_test.c
 *	  JSON pointers: the examples of RFC 6901 §5, elements of arrays, and what is none.
 */
#include "postgres_fe.h"

#include "base/json_tree.h"
#include "tap.h"

/* RFC 6901 §5; "a" to "c" are ours */
static const char document[] =
	"{\"foo\": [\"bar\", \"baz\"], \"\": \"0\", \"a/b\": \"1\", \"c%d\": \"2\", \"e^f\": \"3\", "
	"\"g|h\": \"4\", \"i\\\\j\": \"5\", \"k\\\"l\": \"6\", \" \": \"7\", \"m~n\": \"8\", "
	"\"a\": [{\"b\": [[], [\"deep\"]]}, null], \"~1\": \"literal\", \"7\": \"by name\"}";

static const struct
{
	const char *pointer;
	const char *text;
} found[] = {
	{"/foo/0", "bar"},   {"/foo/1", "baz"}, {"/", "0"},     {"/a~1b", "1"},
	{"/c%d", "2"},       {"/e^f", "3"},     {"/g|h", "4"},  {"/i\\j", "5"},
	{"/k\"l", "6"},      {"/ ", "7"},       {"/m~0n", "8"}, {"/a/0/b/1/0", "deep"},
	{"/~01", "literal"}, {"/7", "by name"},
};

static const char *const missing[] = {
	"/foo/2",
	"/foo/-",
	"/foo/01",
	"/foo/1x",
	"/foo/",
	"/foo/ 1",
	"/foo/+1",
	"/foo/1/0",
	"/foo/99999999999999999999",
	"/foo/4294967296",
	"/bar",
	"/foo/bar",
	"/a/0/b/0/0",
	"/a/1/b",
	"//x",
	"/7/0",
};

static const char *const no_pointers[] = {"", "foo", "#/foo", "/foo~", "/~2", "foo/0"};

int
main(void)
{
	const JsonValue *root = json_parse_object(document, strlen(document));

	ok(root != NULL, "the document is read");
	for (int i = 0; i < (int) lengthof(found); i++)
	{
		const char *text = json_string(json_at_pointer(root, found[i].pointer));

		ok(json_is_pointer(found[i].pointer), "\"%s\" is a pointer", found[i].pointer);
		ok(text != NULL && strcmp(text, found[i].text) == 0, "to \"%s\"", found[i].text);
	}
	for (int i = 0; i < (int) lengthof(missing); i++)
		ok(json_is_pointer(missing[i]) && json_at_pointer(root, missing[i]) == NULL,
		   "there is nothing at \"%s\"", missing[i]);
	for (int i = 0; i < (int) lengthof(no_pointers); i++)
		ok(!json_is_pointer(no_pointers[i]) && json_at_pointer(root, no_pointers[i]) == NULL,
		   "\"%s\" is none", no_pointers[i]);
	ok(json_at_pointer(root, "/a") != NULL && json_string(json_at_pointer(root, "/a")) == NULL,
	   "an array is found, and no string");
	ok(json_at_pointer(root, "/a/1") != NULL, "null is there");
	ok(json_at_pointer(NULL, "/a") == NULL, "in nothing there is nothing");
	return tap_done();
}
