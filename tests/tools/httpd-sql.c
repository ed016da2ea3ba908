/* SPDX-License-Identifier: Apache-2.0 */
/*
 * httpd-sql: an HTTP API in front of a PostgreSQL, as an order service would be.
 *
 *   httpd-sql -S SOCKET_DIR [-U USER] [-D DATABASE] [-p PORT] [-w WORKERS] [-u MICROSECONDS] [-d SECONDS]
 *
 * Listens on 127.0.0.1 (PORT 0: the kernel chooses) and prints "port N" when every
 * worker has its connection to the database. WORKERS threads (default 8) answer:
 *
 *   GET /order?id=N    a select over a hundred rows of pgbench's accounts table, one time
 *                      in ten an update before it, and MICROSECONDS of CPU (default 500) for the rest of the work
 *   GET /health        "select 1"
 *
 * PostgreSQL is spoken to in its own protocol (version 3, simple queries, trust
 * authentication over the unix socket): forty lines, and no library to install. Ends
 * after SECONDS (default 600) by itself and dies with its parent.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define MAX_WORKERS 128
#define MAX_SECONDS 3600
#define PG_PORT 5432
#define WRITE_EVERY 10          /* more would make the table, and so the answers, slower over time */

static const char *socket_dir, *user = "postgres", *database = "postgres";
static int listener, work_usec = 500;

static int read_all(int fd, void *buf, size_t n) {
	for (char *p = buf; n > 0;) {
		ssize_t r = recv(fd, p, n, 0);

		if (r <= 0)
			return -EIO;
		p += r;
		n -= (size_t)r;
	}
	return 0;
}

/* Reads messages up to ReadyForQuery; -EPROTO where one of them was an error. */
static int pg_until_ready(int fd) {
	int r = 0;

	for (;;) {
		char head[5], body[65536];
		uint32_t len;

		if (read_all(fd, head, sizeof head) < 0)
			return -EIO;
		memcpy(&len, head + 1, 4);
		len = ntohl(len);
		if (len < 4 || len - 4 > sizeof body || read_all(fd, body, len - 4) < 0)
			return -EIO;
		if (head[0] == 'E') {
			fprintf(stderr, "httpd-sql: the database says: %.200s\n", body + 1);
			r = -EPROTO;
		} else if (head[0] == 'R' && (len < 8 || memcmp(body, "\0\0\0\0", 4)))
			return -EACCES;
		else if (head[0] == 'Z')
			return r;
	}
}

static int pg_connect(void) {
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), n;
	char msg[512];
	uint32_t len;

	snprintf(addr.sun_path, sizeof addr.sun_path, "%s/.s.PGSQL.%d", socket_dir, PG_PORT);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0)
		return -errno;
	memcpy(msg + 4, "\0\003\0\0", 4);
	n = 8 + snprintf(msg + 8, sizeof msg - 8, "user%c%s%cdatabase%c%s%c", 0, user, 0, 0, database, 0) + 1;
	len = htonl((uint32_t)n);
	memcpy(msg, &len, 4);
	if (send(fd, msg, (size_t)n, MSG_NOSIGNAL) != n || pg_until_ready(fd) < 0) {
		close(fd);
		return -EPROTO;
	}
	return fd;
}

static int pg_query(int fd, const char *sql) {
	size_t n = strlen(sql) + 6;
	uint32_t len = htonl((uint32_t)n - 1);
	char msg[600];

	msg[0] = 'Q';
	memcpy(msg + 1, &len, 4);
	memcpy(msg + 5, sql, n - 5);
	if (send(fd, msg, n, MSG_NOSIGNAL) != (ssize_t)n)
		return -EIO;
	return pg_until_ready(fd);
}

static void work(int usec) {
	struct timespec t;
	double end;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	end = (double)t.tv_sec + (double)t.tv_nsec / 1e9 + usec / 1e6;
	do
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	while ((double)t.tv_sec + (double)t.tv_nsec / 1e9 < end);
}

static int answer(int fd, int pg) {
	char request[2049], sql[500], reply[256];
	const char *status = "200 OK", *body = "ok\n";
	size_t have = 0;
	unsigned id;
	int r = 0, n;

	do {
		ssize_t got = recv(fd, request + have, sizeof request - 1 - have, 0);

		if (got <= 0)
			return 0;
		have += (size_t)got;
		request[have] = '\0';
	} while (have < sizeof request - 1 && !strstr(request, "\r\n\r\n"));
	if (sscanf(request, "GET /order?id=%u ", &id) == 1) {
		snprintf(sql, sizeof sql, "%s%.0u%sselect sum(abalance) from pgbench_accounts where aid between %u and %u",
			 id % WRITE_EVERY ? "" : "update pgbench_accounts set abalance = abalance + 1 where aid = ",
			 id % WRITE_EVERY ? 0 : id % 100000 + 1, id % WRITE_EVERY ? "" : "; ", id % 99900 + 1, id % 99900 + 100);
		r = pg_query(pg, sql);
		work(work_usec);
	} else if (!strncmp(request, "GET /health ", 12))
		r = pg_query(pg, "select 1");
	else
		status = "404 Not Found";
	if (r < 0)
		status = "500 Internal Server Error";
	n = snprintf(reply, sizeof reply, "HTTP/1.1 %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s", status, strlen(body), body);
	(void)!send(fd, reply, (size_t)n, MSG_NOSIGNAL);
	return r;
}

static void *serve(void *arg) {
	int pg = (int)(intptr_t)arg;

	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			continue;
		if (answer(fd, pg) == -EIO) {
			close(pg);
			while ((pg = pg_connect()) < 0)
				sleep(1);
		}
		close(fd);
	}
	return NULL;
}

int main(int argc, char **argv) {
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t addr_len = sizeof addr;
	int port = 0, workers = 8, seconds = 600, one = 1, c;
	pid_t parent = getppid();

	while ((c = getopt(argc, argv, "S:U:D:p:w:u:d:")) != -1)
		switch (c) {
		case 'S': socket_dir = optarg; break;
		case 'U': user = optarg; break;
		case 'D': database = optarg; break;
		case 'p': port = atoi(optarg); break;
		case 'w': workers = atoi(optarg); break;
		case 'u': work_usec = atoi(optarg); break;
		case 'd': seconds = atoi(optarg); break;
		default: return 64;
		}
	if (!socket_dir || workers < 1 || workers > MAX_WORKERS || seconds < 1 || seconds > MAX_SECONDS)
		return 64;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		return 1;
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	addr.sin_port = htons((uint16_t)port);
	if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0
	    || bind(listener, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(listener, 1024) < 0
	    || getsockname(listener, (struct sockaddr *)&addr, &addr_len) < 0) {
		fprintf(stderr, "httpd-sql: 127.0.0.1:%d: %s\n", port, strerror(errno));
		return 1;
	}
	for (int i = 0; i < workers; i++) {
		int pg = pg_connect();
		pthread_t t;

		if (pg < 0) {
			fprintf(stderr, "httpd-sql: no connection to the database in %s: %s\n", socket_dir, strerror(-pg));
			return 1;
		}
		if (pthread_create(&t, NULL, serve, (void *)(intptr_t)pg) != 0)
			return 1;
	}
	printf("port %d\n", ntohs(addr.sin_port));
	fflush(stdout);
	sleep((unsigned)seconds);
	return 0;
}
