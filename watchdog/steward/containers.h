/* SPDX-License-Identifier: Apache-2.0 */
/* containers: the name people gave a container, by its id of 64 hex digits, from the
 * files of docker and podman below `root`. Names are hostile text. Bounded: files of
 * up to CONTAINERS_FILE_MAX, JSON nested up to 32 deep. */
#pragma once

#include <stddef.h>

#define CONTAINERS_FILE_MAX (1024 * 1024)

/* 0; -ENOENT: neither knows it; -EFBIG, -EBADMSG (not the JSON we know), -EACCES ... */
int containers_name(int root, const char *id, char *buf, size_t size);

/* The texts of those files, for the tests. docker: of one container; podman: of all. */
int containers_parse_docker(const char *text, size_t n, char *buf, size_t size);
int containers_parse_podman(const char *text, size_t n, const char *id, char *buf, size_t size);
