/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "steward/talk.h"

static struct wire w, packet;
static struct talk_globs globs, got;
static struct talk_ranked ranked;

/* As over a socket. */
static void send_it(void)
{
	static uint8_t bytes[WIRE_MAX];

	assert_int_equal(w.error, 0);
	packet = w;
	packet.h.size = (uint32_t)(sizeof(packet.h) + packet.end);
	memcpy(bytes, &packet.h, sizeof(packet.h));
	memcpy(bytes + sizeof(packet.h), packet.data, packet.end);
	assert_int_equal(wire_parse(&w, bytes, packet.h.size), 0);
}

static void requests(void **state)
{
	struct talk_rank q = { .group = UINT64_MAX, .dir = "/sys/fs/cgroup/cpu/a\nb", .deep = true }, rq;
	struct talk_name name;
	struct talk_lifeline life;
	struct talk_check check;
	char controller[8];
	char id[TALK_ID_MAX];

	globs.n = 2;
	strcpy(globs.text[0], "postgres");
	strcpy(globs.text[1], "sshd*");
	talk_ask_rank(&w, 5, &q, &globs);
	send_it();
	assert_int_equal(w.h.verb, PROTOCOL_RANK);
	assert_int_equal(w.h.id, 5);
	assert_int_equal(talk_get_rank(&w, &rq, &got), 0);
	assert_true(rq.group == UINT64_MAX && rq.deep);
	assert_string_equal(rq.dir, q.dir);
	assert_int_equal(got.n, 2);
	assert_string_equal(got.text[1], "sshd*");

	q.n_ports = MAX_ENDPOINTS;
	memcpy(q.ports, (uint16_t[MAX_ENDPOINTS]) { 1, 80, 8181, 65535 }, sizeof(q.ports));
	talk_ask_rank(&w, 5, &q, &globs);
	send_it();
	assert_int_equal(talk_get_rank(&w, &rq, &got), 0);
	assert_int_equal(rq.n_ports, MAX_ENDPOINTS);
	assert_memory_equal(rq.ports, q.ports, sizeof(q.ports));
	q.ports[2] = 0;                         /* no port of anybody's */
	talk_ask_rank(&w, 5, &q, &globs);
	send_it();
	assert_int_equal(talk_get_rank(&w, &rq, &got), -EBADMSG);
	q.n_ports = 2;                          /* it is not among them */
	talk_ask_rank(&w, 5, &q, &globs);
	send_it();
	assert_int_equal(talk_get_rank(&w, &rq, &got), 0);

	strcpy(q.dir, "relative");
	talk_ask_rank(&w, 5, &q, NULL);
	send_it();
	assert_int_equal(talk_get_rank(&w, &rq, &got), -EBADMSG);

	globs.n = TALK_GLOBS_MAX;
	for (int i = 0; i < TALK_GLOBS_MAX; i++)
		memset(globs.text[i], 'x', GLOB_TEXT_MAX - 1);
	talk_ask_find(&w, 6, "cpu", &globs);    /* the largest request fits */
	send_it();
	assert_int_equal(talk_get_find(&w, controller, sizeof(controller), &got), 0);
	assert_string_equal(controller, "cpu");
	assert_int_equal(got.n, TALK_GLOBS_MAX);
	assert_int_equal(strlen(got.text[TALK_GLOBS_MAX - 1]), GLOB_TEXT_MAX - 1);

	memset(id, 'a', 64);
	id[64] = '\0';
	talk_ask_name(&w, 7, 9, id);
	send_it();
	assert_int_equal(talk_get_name(&w, &name), 0);
	assert_int_equal(name.group, 9);
	id[3] = '/';                            /* a path in disguise */
	talk_ask_name(&w, 7, 9, id);
	send_it();
	assert_int_equal(talk_get_name(&w, &name), -EBADMSG);

	static const struct { int32_t weight; int r; } weights[] = { { 800, 0 }, { -1, 0 }, { 0, -EBADMSG }, { 10001, -EBADMSG }, { -2, -EBADMSG } };
	for (size_t i = 0; i < 5; i++) {
		talk_ask_lifeline(&w, 8, "ssh.service", weights[i].weight);
		send_it();
		assert_int_equal(talk_get_lifeline(&w, &life), weights[i].r);
	}
	talk_ask_check(&w, 9, -1, "http://127.0.0.1/", 5 * USEC_PER_SEC);
	send_it();
	assert_int_equal(talk_get_check(&w, &check), 0);
	assert_int_equal(check.policy, -1);
	assert_true(check.timeout == 5 * USEC_PER_SEC);
	wire_put_u64(&w, 1);                    /* one field too many */
	talk_ask_check(&w, 9, -1, "http://127.0.0.1/", 5 * USEC_PER_SEC);
	wire_put_u64(&w, 1);
	send_it();
	assert_int_equal(talk_get_check(&w, &check), -EBADMSG);
}

static void answers(void **state)
{
	struct task_ref t = { .pid = 10, .tid = 11, .start = 12, .cpu_pm = 13, .policy = 3, .nice = -20, .keep = true, .comm = "a\x1b[2J\nb" };
	struct talk_answer a;
	struct talk_found_row row;
	struct talk_named named;
	struct talk_lifelined life;
	struct talk_checked checked;
	enum protocol_role role;
	int32_t pid;
	char missing[32];
	bool truncated;
	uint32_t n;

	talk_put_hello(&w, ROLE_COURIER, 77, "x");
	send_it();
	assert_int_equal(talk_get_hello(&w, &role, &pid, missing, sizeof(missing)), 0);
	assert_true(role == ROLE_COURIER && pid == 77);

	talk_put_answer(&w, PROTOCOL_RANK, 5, 0, 0, "");
	wire_put_u64(&w, 4);
	wire_put_u64(&w, 500);
	wire_put_u64(&w, MAX_TASKS);
	for (int i = 0; i < MAX_TASKS; i++)
		talk_put_task(&w, &t);
	send_it();                              /* the largest answer fits */
	assert_int_equal(talk_get_answer(&w, &a), 0);
	assert_int_equal(a.status, 0);
	assert_int_equal(talk_get_ranked(&w, &ranked), 0);
	assert_int_equal(ranked.n, MAX_TASKS);
	assert_int_equal(ranked.seen, 500);
	assert_memory_equal(ranked.tasks[MAX_TASKS - 1].comm, "a\x1b[2J\nb", 8);
	assert_int_equal(ranked.tasks[0].nice, -20);
	assert_true(ranked.tasks[0].keep && ranked.tasks[0].tid == 11 && ranked.tasks[0].start == 12);

	/* More than there can be: refused, not overrun. */
	talk_put_answer(&w, PROTOCOL_RANK, 5, 0, 0, "");
	wire_put_u64(&w, 4);
	wire_put_u64(&w, 500);
	wire_put_u64(&w, MAX_TASKS + 1);
	for (int i = 0; i <= MAX_TASKS; i++)
		talk_put_task(&w, &t);
	send_it();
	assert_int_equal(talk_get_answer(&w, &a), 0);
	assert_int_equal(talk_get_ranked(&w, &ranked), -EBADMSG);

	/* Cut in the middle, and a value out of its range. */
	t.nice = 20;
	talk_put_answer(&w, PROTOCOL_RANK, 5, 0, 0, "");
	wire_put_u64(&w, 4);
	wire_put_u64(&w, 500);
	wire_put_u64(&w, 1);
	talk_put_task(&w, &t);
	send_it();
	assert_int_equal(talk_get_answer(&w, &a), 0);
	assert_int_equal(talk_get_ranked(&w, &ranked), -EBADMSG);
	t.nice = 0;
	talk_put_answer(&w, PROTOCOL_RANK, 5, 0, 0, "");
	wire_put_u64(&w, 4);
	wire_put_u64(&w, 500);
	wire_put_u64(&w, 2);
	talk_put_task(&w, &t);
	send_it();
	assert_int_equal(talk_get_answer(&w, &a), 0);
	assert_int_equal(talk_get_ranked(&w, &ranked), -EBADMSG);

	talk_put_answer(&w, PROTOCOL_FIND, 6, WIRE_MORE, 0, "");
	wire_put_u64(&w, 1);
	wire_put_u64(&w, 1);
	wire_put_str(&w, "/system.slice/x\n");
	wire_put_str(&w, "sshd");
	send_it();
	assert_int_equal(talk_get_answer(&w, &a), 0);
	assert_true(a.more);
	assert_int_equal(talk_get_found(&w, &truncated, &n), 0);
	assert_true(truncated && n == 1);
	assert_int_equal(talk_get_found_row(&w, &row), 0);
	assert_string_equal(row.path, "/system.slice/x\n");
	assert_int_equal(talk_get_found_row(&w, &row), -EBADMSG);

	talk_put_answer(&w, PROTOCOL_NAME, 6, 0, 0, NULL);
	wire_put_u64(&w, 3);
	wire_put_str(&w, "shop-db");
	send_it();
	assert_int_equal(talk_get_answer(&w, &a), 0);
	assert_int_equal(talk_get_named(&w, &named), 0);
	assert_string_equal(named.name, "shop-db");

	talk_put_answer(&w, PROTOCOL_LIFELINE, 6, 0, -ENOENT, "no such unit");
	send_it();
	assert_int_equal(talk_get_answer(&w, &a), 0);
	assert_int_equal(a.status, -ENOENT);
	assert_string_equal(a.text, "no such unit");
	talk_put_answer(&w, PROTOCOL_LIFELINE, 6, 0, 0, "");
	wire_put_str(&w, "ssh.service");
	wire_put_i64(&w, -1);
	wire_put_i64(&w, 800);
	send_it();
	assert_int_equal(talk_get_answer(&w, &a), 0);
	assert_int_equal(talk_get_lifelined(&w, &life), 0);
	assert_true(life.before == -1 && life.after == 800);

	talk_put_answer(&w, PROTOCOL_CHECK, 6, 0, 0, "");
	wire_put_i64(&w, 2);
	wire_put_u64(&w, 1);
	wire_put_u64(&w, 200);
	wire_put_u64(&w, 1234);
	send_it();
	assert_int_equal(talk_get_answer(&w, &a), 0);
	assert_int_equal(talk_get_checked(&w, &checked), 0);
	assert_true(checked.good && checked.policy == 2 && checked.code == 200 && checked.took == 1234);

	/* A positive status is nothing we say; a request is no answer. */
	talk_put_answer(&w, PROTOCOL_CHECK, 6, 0, 1, "");
	send_it();
	assert_int_equal(talk_get_answer(&w, &a), -EBADMSG);
	talk_ask_name(&w, 1, 2, "x");
	send_it();
	assert_int_equal(talk_get_answer(&w, &a), -EBADMSG);
}

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void paths(void **state)
{
	static const struct { const char *path, *unit; } units[] = {
		{ "/system.slice/ssh.service", "ssh.service" }, { "/system.slice/ssh.service/q", "ssh.service" },
		{ "/user.slice/user-0.slice/session-1.scope", "session-1.scope" }, { "/a.slice", "a.slice" },
		{ "/", NULL }, { "", NULL }, { "/docker/abc", NULL }, { "/x/.service", NULL }, { "/a.slice/b/c", "a.slice" },
	};
	static const struct { const char *path, *id; } ids[] = {
		{ "/system.slice/docker-" HEX64 ".scope", HEX64 }, { "/docker/" HEX64, HEX64 }, { "/docker/" HEX64 "0", NULL },
		{ "/x/cri-containerd-" HEX64 ".scope/init", HEX64 }, { "/", NULL }, { "/libpod-" HEX64 "/libpod-" HEX64, HEX64 },
	};
	char buf[64], id[TALK_ID_MAX];

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		int r = talk_unit_of_path(units[i].path, buf, sizeof(buf));

		assert_int_equal(r, units[i].unit ? 0 : -ENOENT);
		if (r == 0)
			assert_string_equal(buf, units[i].unit);
	}
	assert_int_equal(talk_unit_of_path("/system.slice/ssh.service", buf, 5), -ENAMETOOLONG);
	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		int r = talk_container_of_path(ids[i].path, id);

		assert_int_equal(r, ids[i].id ? 0 : -ENOENT);
		if (r == 0)
			assert_string_equal(id, ids[i].id);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(requests), cmocka_unit_test(answers), cmocka_unit_test(paths) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
