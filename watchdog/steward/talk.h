/* SPDX-License-Identifier: Apache-2.0 */
/* talk: the messages of sys/protocol.h with the core's types: the guard's side asks
 * (talk_ask_*) and reads answers (talk_get_*), the helpers' side does the reverse.
 * Readers refuse with -EBADMSG what is not exactly the message; ret_ parameters are
 * unspecified then. A struct wire is reused by the next message: copy what stays. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/action.h"
#include "core/limits.h"
#include "sys/protocol.h"
#include "sys/wire.h"

#define TALK_DIR_MAX    768     /* bytes of an absolute cgroup directory with NUL */
#define TALK_ID_MAX     65      /* container id with NUL */
#define TALK_TEXT_MAX   160
#define TALK_UNIT_MAX   256
#define TALK_URL_MAX    192
#define TALK_GLOBS_MAX  128     /* patterns in one request; beyond: the first ones */

struct talk_answer {                    /* how each answer begins */
	uint64_t id;
	enum protocol_verb verb;
	bool more;
	int status;                     /* 0 or -errno */
	char text[TALK_TEXT_MAX];
};

struct talk_globs {
	uint32_t n;
	char text[TALK_GLOBS_MAX][GLOB_TEXT_MAX];
};

/* ports: who listens there answers a health check. */
struct talk_rank  { uint64_t group; char dir[TALK_DIR_MAX]; bool deep; uint16_t ports[MAX_ENDPOINTS]; uint8_t n_ports; };
struct talk_name  { uint64_t group; char id[TALK_ID_MAX]; };
struct talk_check { int16_t policy; char url[TALK_URL_MAX]; usec_t timeout; };
struct talk_lifeline { char unit[TALK_UNIT_MAX]; int32_t weight; };

struct talk_ranked    { uint64_t group; uint32_t seen, n; struct task_ref tasks[MAX_TASKS]; };
struct talk_found_row { char path[GROUP_PATH_MAX]; char comm[COMM_MAX]; };
struct talk_named     { uint64_t group; char name[GROUP_NAME_MAX]; };
struct talk_lifelined { char unit[TALK_UNIT_MAX]; int32_t before, after; };
struct talk_checked   { int16_t policy; bool good; uint16_t code; usec_t took; };

/* Guard: fill w, then wire_send. */
void talk_ask_rank(struct wire *w, uint64_t id, const struct talk_rank *q, const struct talk_globs *keep);
void talk_ask_find(struct wire *w, uint64_t id, const char *controller, const struct talk_globs *globs);
void talk_ask_name(struct wire *w, uint64_t id, uint64_t group, const char *container);
void talk_ask_lifeline(struct wire *w, uint64_t id, const char *unit, int32_t weight);
void talk_ask_check(struct wire *w, uint64_t id, int16_t policy, const char *url, usec_t timeout);

/* Guard: first talk_get_hello or talk_get_answer, by w->h.verb and flags; then, where
 * status is 0, the body. */
int talk_get_hello(struct wire *w, enum protocol_role *ret_role, int32_t *ret_pid, char *ret_missing, size_t size);
int talk_get_answer(struct wire *w, struct talk_answer *ret);
int talk_get_ranked(struct wire *w, struct talk_ranked *ret);
int talk_get_found(struct wire *w, bool *ret_truncated, uint32_t *ret_n);
int talk_get_found_row(struct wire *w, struct talk_found_row *ret);    /* ret_n times */
int talk_get_named(struct wire *w, struct talk_named *ret);
int talk_get_lifelined(struct wire *w, struct talk_lifelined *ret);
int talk_get_checked(struct wire *w, struct talk_checked *ret);

/* Helpers. */
void talk_put_hello(struct wire *w, enum protocol_role role, int32_t pid, const char *missing);
void talk_put_answer(struct wire *w, enum protocol_verb verb, uint64_t id, uint32_t flags, int status, const char *text);
void talk_put_task(struct wire *w, const struct task_ref *t);
int talk_get_rank(struct wire *w, struct talk_rank *ret, struct talk_globs *ret_keep);
int talk_get_find(struct wire *w, char *ret_controller, size_t size, struct talk_globs *ret_globs);
int talk_get_name(struct wire *w, struct talk_name *ret);
int talk_get_lifeline(struct wire *w, struct talk_lifeline *ret);
int talk_get_check(struct wire *w, struct talk_check *ret);

/* The unit a cgroup path belongs to: its last component that is a unit's name
 * (.service .scope .slice ...), copied. -ENOENT: none. "/a.slice/b.service/c" -> b.service */
int talk_unit_of_path(const char *path, char *buf, size_t size);

/* The container a cgroup path belongs to: 64 hex digits, as docker, podman, crio and
 * containerd name them ("docker-ID.scope", "/docker/ID", "libpod-ID.scope"). -ENOENT. */
int talk_container_of_path(const char *path, char ret[static TALK_ID_MAX]);
