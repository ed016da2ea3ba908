/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words: one word of a list
 *
 * A pattern that can match nothing is as bad as a mistyped key: a [Protect] that is in force
 * and protects nobody. So what people write out of habit from other tools and is no pattern
 * of ours is refused, and the form that was meant is given.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "conf/keys.h"

/* A name's uid out of ROOT/etc/passwd alone: no name service is asked, which could mean
 * the network. 0, -ENOENT. */
int key_user(const char *root, const char *name, char *ret_uid, size_t size)
{
	_cleanup_(cleanup_fclose) FILE *f = NULL;
	char path[512], line[1024];
	size_t n = strlen(name);

	if (strchr(name, ':') != NULL || !str_format(path, sizeof(path), "%s/etc/passwd", root))
		return -ENOENT;
	f = fopen(path, "re");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		char *uid;

		if (strncmp(line, name, n) != 0 || line[n] != ':' || (uid = strchr(line + n + 1, ':')) == NULL)
			continue;
		uid++;
		uid[strspn(uid, "0123456789")] = 0;
		return *uid && str_copy(ret_uid, size, uid) ? 0 : -ENOENT;
	}
	return -ENOENT;
}

/* Lists of other tools have commas and quotes. Taken as part of a name they match nothing,
 * and what was to be protected is not; whoever means one in a name writes ?. A path may have
 * them, but at no end of its parts. */
static int separated(const struct key *key, const char *word, struct key_error *e)
{
	bool path = (key->match == MATCH_CGROUPS || key->match == MATCH_EXCEPT) && (*word == '/' || *word == '*');
	const char *c;

	for (c = word; (c = strpbrk(c, ",;\"'")) != NULL; c++)
		if (!path || c == word || c[1] == 0 || c[1] == '/')
			return key_wrong(e, (size_t)(c - word), word, "has a %c in it; separate with spaces, no quotes", *c);
	return 0;
}

/* A path as `ls` has it, down from the mount point: the part below the hierarchy's root is
 * meant, on v1 without the controllers' directory. NULL: it is none. */
static const char *below_mount(const char *word)
{
	static const char mount[] = "/sys/fs/cgroup";
	static const char *const v1[] = {
		"cpu", "cpuacct", "cpu,cpuacct", "cpuacct,cpu", "cpuset", "memory", "pids", "blkio", "devices", "freezer", "systemd", "unified",
		"net_cls", "net_cls,net_prio", "net_prio", "perf_event", "hugetlb", "rdma", "misc",
	};
	const char *s = word + strlen(mount);
	size_t i;

	if (!str_starts(word, mount) || (*s != '/' && *s != 0))
		return NULL;
	for (i = 0; *s && i < ELEMENTSOF(v1); i++) {
		size_t n = strlen(v1[i]);

		if (str_starts(s + 1, v1[i]) && (s[1 + n] == '/' || s[1 + n] == 0)) {
			s += 1 + n;
			break;
		}
	}
	return *s == 0 || s[1] == 0 ? "/*" : s;
}

int key_word(const struct key *key, const char *root, const char *word, struct glob *ret, struct key_error *e)
{
	struct glob glob = { .kind = (uint8_t)key->match };

	if (!str_copy(glob.text, sizeof(glob.text), word))
		return key_wrong(e, 0, word, "is too long; a pattern has at most %d bytes", GLOB_TEXT_MAX - 1);
	if (separated(key, word, e) < 0)
		return -EINVAL;
	if ((key->match == MATCH_CGROUPS || key->match == MATCH_EXCEPT) && below_mount(word) != NULL)
		return key_wrong(e, 0, word, "begins at the mount point, and would match nothing; write %s", below_mount(word));
	switch (key->match) {
	case MATCH_CGROUPS:
		if (*word != '/' && *word != '*')
			return key_wrong(e, 0, word, "is no path from the root; write /%s, or */ and a part of one", word);
		break;
	case MATCH_PROCESSES:
		if (strchr(word, '/') != NULL)
			return key_wrong(e, 0, word, "has a / in it; write the name alone, as ps -o comm shows it");
		break;
	case MATCH_UNITS:
		if (strchr(word, '/') != NULL)
			return key_wrong(e, 0, word, "has a / in it; write a unit's name, or Cgroups= for a path");
		break;
	case MATCH_USERS:
		if (strspn(word, "0123456789*?[]-") == strlen(word) || str_equal(word, "root"))
			break;
		memset(glob.text, 0, sizeof(glob.text));
		if (key_user(root, word, glob.text, sizeof(glob.text)) < 0)
			return key_wrong(e, 0, word, "is no user of /etc/passwd; write the number that id -u prints");
		break;
	default:
		break;
	}
	*ret = glob;
	return 0;
}
