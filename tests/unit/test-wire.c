/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/wire.h"

static struct wire a, b;

static void fill(struct wire *w)
{
	wire_begin(w, 7, WIRE_ANSWER, 42);
	wire_put_u64(w, UINT64_MAX);
	wire_put_i64(w, INT64_MIN);
	wire_put_str(w, "hello\x1b[31m");
	wire_put_bytes(w, "\0\1\2", 3);
	wire_put_str(w, NULL);
}

static void expect(struct wire *w)
{
	char buf[16];
	const void *p;
	size_t n;

	assert_int_equal(w->h.verb, 7);
	assert_int_equal(w->h.flags, WIRE_ANSWER);
	assert_int_equal(w->h.id, 42);
	assert_true(wire_get_u64(w) == UINT64_MAX);
	assert_true(wire_get_i64(w) == INT64_MIN);
	wire_get_str(w, buf, sizeof(buf));
	assert_string_equal(buf, "hello\x1b[31m");
	p = wire_view_bytes(w, &n);
	assert_int_equal(n, 3);
	assert_memory_equal(p, "\0\1\2", 3);
	assert_false(wire_at_end(w));
	assert_string_equal(wire_view_str(w), "");
	assert_true(wire_at_end(w));
	assert_int_equal(w->error, 0);
}

static void there_and_back(void **state)
{
	int fds[2];

	assert_int_equal(wire_pair(fds), 0);
	assert_int_equal(wire_recv(fds[1], &b), -EAGAIN);
	fill(&a);
	assert_int_equal(wire_send(fds[0], &a), 0);
	assert_int_equal(wire_recv(fds[1], &b), 0);
	expect(&b);
	close(fds[0]);
	assert_int_equal(wire_recv(fds[1], &b), -ECONNRESET);
	assert_int_equal(wire_send(fds[1], &a), -EPIPE);
	close(fds[1]);
}

static void errors_stick(void **state)
{
	char small[4];

	fill(&a);
	a.pos = 0;
	assert_int_equal(wire_get_i64(&a), 0);          /* it is a u64 */
	assert_int_equal(a.error, -EBADMSG);
	assert_int_equal(wire_get_u64(&a), 0);
	assert_string_equal(wire_view_str(&a), "");
	assert_false(wire_at_end(&a));

	fill(&a);
	a.pos = 0;
	wire_get_u64(&a);
	wire_get_i64(&a);
	wire_get_str(&a, small, sizeof(small));
	assert_int_equal(a.error, -EMSGSIZE);
	assert_string_equal(small, "");
}

static void bounded(void **state)
{
	static char big[WIRE_MAX + 10];
	int fds[2], n = 0;
	size_t got;

	memset(big, 'x', sizeof(big) - 1);
	wire_begin(&a, 1, 0, 1);
	wire_put_str(&a, big);
	assert_int_equal(a.error, -EMSGSIZE);
	wire_put_u64(&a, 1);
	assert_int_equal(a.end, 0);
	assert_int_equal(wire_pair(fds), 0);
	assert_int_equal(wire_send(fds[0], &a), -EMSGSIZE);

	/* Exactly full goes through; one byte more does not. */
	for (int extra = 0; extra < 2; extra++) {
		wire_begin(&a, 1, 0, 1);
		wire_put_bytes(&a, big, sizeof(a.data) - 5 + (size_t)extra);
		assert_int_equal(a.error, extra ? -EMSGSIZE : 0);
	}
	wire_begin(&a, 1, 0, 1);
	assert_int_equal(wire_room(&a), sizeof(a.data));
	wire_put_bytes(&a, big, sizeof(a.data) - 5);
	assert_int_equal(wire_room(&a), 0);
	assert_int_equal(wire_send(fds[0], &a), 0);
	assert_int_equal(wire_recv(fds[1], &b), 0);
	assert_non_null(wire_view_bytes(&b, &got));
	assert_int_equal(got, sizeof(a.data) - 5);
	assert_true(wire_at_end(&b));

	/* A peer that does not read never blocks us. */
	while (wire_send(fds[0], &a) == 0 && n < 1000)
		n++;
	assert_in_range(n, 1, 100);
	assert_int_equal(wire_send(fds[0], &a), -EAGAIN);
	close(fds[0]);
	close(fds[1]);
}

static void hostile_packets(void **state)
{
	struct { struct wire_header h; uint8_t d[64]; } p;
	static const struct { const char *what; size_t size; int r; } sizes[] = {
		{ "empty", 0, -EBADMSG }, { "half a header", 12, -EBADMSG }, { "cut", 30, -EBADMSG },
	};
	uint32_t len;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		memset(&p, 0, sizeof(p));
		p.h = (struct wire_header){ WIRE_MAGIC, WIRE_VERSION, 1, 0, 24 + 9, 1 };
		assert_int_equal(wire_parse(&b, &p, sizes[i].size), sizes[i].r);
		assert_int_equal(wire_get_u64(&b), 0);
		assert_true(b.error < 0);
	}
	p.h = (struct wire_header){ WIRE_MAGIC, WIRE_VERSION + 1, 1, 0, 24, 1 };
	assert_int_equal(wire_parse(&b, &p, 24), -EPROTONOSUPPORT);
	p.h = (struct wire_header){ WIRE_MAGIC, WIRE_VERSION, 1, 1 << 9, 24, 1 };
	assert_int_equal(wire_parse(&b, &p, 24), -EBADMSG);
	p.h = (struct wire_header){ 1, WIRE_VERSION, 1, 0, 24, 1 };
	assert_int_equal(wire_parse(&b, &p, 24), -EBADMSG);

	/* Lengths that lie. */
	static const uint32_t lies[] = { 0xffffffff, 0xfffffffb, 0x80000000, 60, 6 };
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++)
		for (int tag = 3; tag <= 4; tag++) {
			size_t n;

			memset(&p, 'x', sizeof(p));
			p.h = (struct wire_header){ WIRE_MAGIC, WIRE_VERSION, 1, 0, 24 + 10, 1 };
			p.d[0] = (uint8_t)tag;
			len = lies[i];
			memcpy(p.d + 1, &len, 4);
			assert_int_equal(wire_parse(&b, &p, 34), 0);
			if (tag == 3)
				assert_string_equal(wire_view_str(&b), "");
			else
				assert_null(wire_view_bytes(&b, &n));
			assert_int_equal(b.error, -EBADMSG);
		}

	/* A string with a NUL inside, or without its NUL. */
	for (int at = 1; at <= 5; at += 4) {
		memset(&p, 'x', sizeof(p));
		p.h = (struct wire_header){ WIRE_MAGIC, WIRE_VERSION, 1, 0, 24 + 10, 1 };
		p.d[0] = 3;
		len = 4;
		memcpy(p.d + 1, &len, 4);
		p.d[9] = at == 5 ? 'x' : 0;
		p.d[5 + (at == 1)] = at == 1 ? 0 : 'x';
		assert_int_equal(wire_parse(&b, &p, 34), 0);
		assert_string_equal(wire_view_str(&b), "");
		assert_int_equal(b.error, -EBADMSG);
	}
}

static void sockets(void **state)
{
	char dir[] = "/tmp/reprieve-wire-XXXXXX", path[64];
	struct ucred cred;
	struct stat st;
	int l, c, s, stale;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sock", dir);
	assert_int_equal(wire_connect(path), -ENOENT);
	l = wire_listen(path, 0600);
	assert_true(l >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(wire_accept(l, &cred), -EAGAIN);
	assert_int_equal(wire_listen(path, 0600), -EADDRINUSE);
	s = wire_accept(l, &cred);              /* what wire_listen probed with */
	if (s >= 0)
		close(s);
	c = wire_connect(path);
	assert_true(c >= 0);
	s = wire_accept(l, &cred);
	assert_true(s >= 0);
	assert_int_equal(cred.pid, getpid());
	assert_int_equal(cred.uid, getuid());
	fill(&a);
	assert_int_equal(wire_send(c, &a), 0);
	assert_int_equal(wire_recv_wait(s, &b, USEC_PER_SEC), 0);
	expect(&b);
	wire_begin(&a, 7, 0, 1);
	assert_int_equal(wire_call(c, &a, 20 * USEC_PER_MSEC), -ETIMEDOUT);
	close(s);
	close(c);
	close(l);
	stale = wire_listen(path, 0600);        /* a dead one's path is taken over */
	assert_true(stale >= 0);
	close(stale);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back), cmocka_unit_test(errors_stick), cmocka_unit_test(bounded),
		cmocka_unit_test(hostile_packets), cmocka_unit_test(sockets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
