/* SPDX-License-Identifier: Apache-2.0 */
/* containers: docker keeps one config.v2.json per container with "Name": "/shop-db";
 * podman one containers.json for all, an array of {"id", "names": [...]}. Reading
 * these files needs no daemon to answer, which an overloaded one would not. */
#include "steward/containers.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/macro.h"
#include "base/str.h"
#include "sys/root.h"

#define JSON_DEPTH_MAX 32

static int parse(const char *text, size_t n, struct json_object **ret)
{
	struct json_tokener *t = json_tokener_new_ex(JSON_DEPTH_MAX);

	if (t == NULL)
		return -ENOMEM;
	*ret = json_tokener_parse_ex(t, text, (int)MIN(n, (size_t)INT_MAX));
	if (*ret != NULL && json_tokener_get_error(t) != json_tokener_success) {
		json_object_put(*ret);
		*ret = NULL;
	}
	json_tokener_free(t);
	return *ret != NULL ? 0 : -EBADMSG;
}

static int copy_name(struct json_object *name, char *buf, size_t size)
{
	const char *s;

	if (!json_object_is_type(name, json_type_string))
		return -EBADMSG;
	s = json_object_get_string(name);
	s += *s == '/';
	if (*s == '\0')
		return -ENOENT;
	(void)str_copy(buf, size, s);
	return 0;
}

int containers_parse_docker(const char *text, size_t n, char *buf, size_t size)
{
	struct json_object *o = NULL, *name;
	int r = parse(text, n, &o);

	if (r < 0)
		return r;
	r = json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, "Name", &name) ? copy_name(name, buf, size)
	                                                                                            : -EBADMSG;
	json_object_put(o);
	return r;
}

int containers_parse_podman(const char *text, size_t n, const char *id, char *buf, size_t size)
{
	struct json_object *o = NULL;
	int r = parse(text, n, &o);

	if (r < 0)
		return r;
	r = -ENOENT;
	for (size_t i = 0; r == -ENOENT && json_object_is_type(o, json_type_array) && i < json_object_array_length(o); i++) {
		struct json_object *c = json_object_array_get_idx(o, i), *v;

		if (!json_object_is_type(c, json_type_object) || !json_object_object_get_ex(c, "id", &v) ||
		    !json_object_is_type(v, json_type_string) || !str_equal(json_object_get_string(v), id))
			continue;
		if (json_object_object_get_ex(c, "names", &v) && json_object_is_type(v, json_type_array) && json_object_array_length(v) > 0)
			r = copy_name(json_object_array_get_idx(v, 0), buf, size);
		break;
	}
	json_object_put(o);
	return r;
}

int containers_name(int root, const char *id, char *buf, size_t size)
{
	_cleanup_(cleanup_free) char *text = NULL;
	char path[160];
	ssize_t n;

	if (strspn(id, "0123456789abcdef") != 64 || id[64] != '\0')
		return -ENOENT;
	text = malloc(CONTAINERS_FILE_MAX + 1);
	if (text == NULL)
		return -ENOMEM;
	(void)str_format(path, sizeof(path), "/var/lib/docker/containers/%s/config.v2.json", id);
	n = root_read_file(root, path, text, CONTAINERS_FILE_MAX + 1);
	if (n >= 0) {
		int r = containers_parse_docker(text, (size_t)n, buf, size);

		if (r != -ENOENT)
			return r;
	} else if (n != -ENOENT)
		return (int)n;
	n = root_read_file(root, "/var/lib/containers/storage/overlay-containers/containers.json", text, CONTAINERS_FILE_MAX + 1);
	return n < 0 ? (int)n : containers_parse_podman(text, (size_t)n, id, buf, size);
}
