/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroups-name: what people call a cgroup, told from its path alone.
 *
 * A path is a chain like /system.slice/docker-<64 hex>.scope/init. What a person
 * knows is the unit or the container, so the deepest component that is one names
 * the cgroup; a plain child of a unit (a threaded jail, a supervisor's group) is
 * still that unit. Slices only group others and name themselves. The true name of
 * a container comes later, from the steward.
 *
 * Names are hostile: they are cut at a whole character, never interpreted.
 */
#include "sense/cgroups.h"

#include <string.h>

#include "base/macro.h"
#include "base/str.h"

#define HEX_ID_MIN  32          /* digits from which a component is a container's id */
#define HEX_ID_KEEP 12

static const struct {
	const char *prefix, *show;
} engines[] = {
	{ "docker-", "docker-" },
	{ "libpod-conmon-", "libpod-conmon-" },
	{ "libpod-", "libpod-" },
	{ "cri-containerd-", "containerd-" },
	{ "crio-conmon-", "crio-conmon-" },
	{ "crio-", "crio-" },
	{ "nerdctl-", "nerdctl-" },
	{ "lxc.payload.", "lxc-" },
};

static const char *const units[] = { ".service", ".scope", ".socket", ".mount", ".swap" };

static size_t hex_digits(const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
			break;
	return i;
}

static bool ends(const char *s, size_t n, const char *suffix)
{
	size_t k = strlen(suffix);

	return n > k && memcmp(s + n - k, suffix, k) == 0;
}

/* Cuts between characters, so that no half one is left. */
static void put(char *ret, const char *s, size_t n)
{
	uint32_t c;
	size_t i = 0, k;

	if (n >= GROUP_NAME_MAX) {
		while (i < n) {
			k = str_utf8(s + i, n - i, &c);
			if (!k)
				k = 1;
			if (i + k >= GROUP_NAME_MAX)
				break;
			i += k;
		}
		n = i;
	}
	memset(ret, 0, GROUP_NAME_MAX);
	memcpy(ret, s, n);
}

/* A container's component: "docker-<id>.scope", or a bare id under /docker, /libpod_parent or a pod. */
static bool container(const char *path, const char *s, size_t n, char *ret)
{
	size_t i, skip;

	for (i = 0; i < ELEMENTSOF(engines); i++) {
		skip = strlen(engines[i].prefix);
		if (n <= skip || memcmp(s, engines[i].prefix, skip) != 0)
			continue;
		if (hex_digits(s + skip, n - skip) >= HEX_ID_MIN)
			str_format(ret, GROUP_NAME_MAX, "%s%.*s", engines[i].show, HEX_ID_KEEP, s + skip);
		else if (engines[i].prefix[skip - 1] == '.')
			str_format(ret, GROUP_NAME_MAX, "%s%.*s", engines[i].show, (int)MIN(n - skip, (size_t)GROUP_NAME_MAX), s + skip);
		else
			return false;
		return true;
	}
	if (n < HEX_ID_MIN || hex_digits(s, n) != n)
		return false;
	str_format(ret, GROUP_NAME_MAX, "%s%.*s", str_starts(path, "/docker/") ? "docker-" : "container-", HEX_ID_KEEP, s);
	return true;
}

void cgroups_display_name(const char *path, char ret[static GROUP_NAME_MAX])
{
	const char *end = path + strlen(path), *s;
	char name[GROUP_NAME_MAX] = "";
	size_t n, i;

	while (end > path) {
		for (s = end; s > path && s[-1] != '/'; s--)
			;
		n = (size_t)(end - s);
		if (n && container(path, s, n, name)) {
			put(ret, name, strlen(name));
			return;
		}
		for (i = 0; n && i < ELEMENTSOF(units); i++)
			if (ends(s, n, units[i])) {
				put(ret, s, n);
				return;
			}
		end = s > path ? s - 1 : path;
	}

	s = strrchr(path, '/');
	s = s && s[1] ? s + 1 : path;
	put(ret, s, strlen(s));
}

uint32_t cgroups_uid(const char *path)
{
	const char *p = path;
	uint64_t v;
	size_t i;

	while ((p = strstr(p, "/user-")) != NULL) {
		p += strlen("/user-");
		for (i = 0, v = 0; p[i] >= '0' && p[i] <= '9' && i < 10; i++)
			v = v * 10 + (uint64_t)(p[i] - '0');
		if (i && v < UINT32_MAX && str_starts(p + i, ".slice") && (p[i + 6] == '/' || p[i + 6] == 0))
			return (uint32_t)v;
	}
	return UINT32_MAX;
}
