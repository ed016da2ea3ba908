/* SPDX-License-Identifier: Apache-2.0 */
/*
 * httpd-health: an HTTP API that answers its own health check, and can run wild.
 *
 *   httpd-health [-p PORT] [-w WORKERS] [-u MICROSECONDS] [-d SECONDS]
 *
 * Listens on 127.0.0.1 (PORT 0: the kernel chooses) and prints "port N" when it
 * is ready. WORKERS threads (default 4) answer:
 *
 *   GET /health           200 "ok" after MICROSECONDS of CPU (default 2000)
 *   GET /work?usec=N      200 after N microseconds of CPU
 *   GET /wild?threads=N   N more threads of this process start to burn CPU
 *   GET /calm             they stop
 *   GET /stats            requests answered, wild threads
 *
 * The wild threads are what makes it interesting: the culprit is a thread of the
 * very process that answers the health check, so its cgroup can not be squeezed
 * without killing the service. One request per connection, no keep-alive: a
 * health check is one. It ends after SECONDS (default 600) by itself and dies
 * with its parent.
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
#include <time.h>
#include <unistd.h>

#define MAX_WILD 256
#define MAX_WORKERS 256
#define MAX_SECONDS 3600
#define REQUEST_MAX 2048
#define READ_TIMEOUT_SEC 10

static int listener, health_usec = 2000;
static unsigned long answered;
static int wild_wanted, wild_running;
static pthread_mutex_t wild_lock = PTHREAD_MUTEX_INITIALIZER;

static double thread_time(void) {
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void work(long usec) {
	double end = thread_time() + (double)usec / 1e6;

	while (thread_time() < end)
		for (volatile int i = 0; i < 2000; i++)
			;
}

static void *run_wild(void *arg) {
	long number = (long)arg;

	prctl(PR_SET_NAME, "wild");
	while (number < __atomic_load_n(&wild_wanted, __ATOMIC_RELAXED))
		for (volatile int i = 0; i < 200000; i++)
			;
	__atomic_fetch_sub(&wild_running, 1, __ATOMIC_RELAXED);
	return NULL;
}

static int set_wild(int n) {
	int r = 0;

	pthread_mutex_lock(&wild_lock);
	__atomic_store_n(&wild_wanted, 0, __ATOMIC_RELAXED);
	while (__atomic_load_n(&wild_running, __ATOMIC_RELAXED) > 0)
		usleep(1000);
	__atomic_store_n(&wild_wanted, n, __ATOMIC_RELAXED);
	for (long i = 0; i < n; i++) {
		pthread_t t;

		__atomic_fetch_add(&wild_running, 1, __ATOMIC_RELAXED);
		if (pthread_create(&t, NULL, run_wild, (void *)i) != 0) {
			__atomic_fetch_sub(&wild_running, 1, __ATOMIC_RELAXED);
			r = -EAGAIN;
			break;
		}
		pthread_detach(t);
	}
	pthread_mutex_unlock(&wild_lock);
	return r;
}

static void answer(int fd) {
	const struct timeval timeout = { .tv_sec = READ_TIMEOUT_SEC };
	char request[REQUEST_MAX + 1], body[128] = "ok\n", reply[512];
	const char *status = "200 OK";
	size_t have = 0;
	long n;
	int len;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
	do {
		ssize_t r = recv(fd, request + have, REQUEST_MAX - have, 0);

		if (r <= 0)
			return;
		have += (size_t)r;
		request[have] = '\0';
	} while (have < REQUEST_MAX && !strstr(request, "\r\n\r\n"));
	if (!strncmp(request, "GET /health ", 12))
		work(health_usec);
	else if (sscanf(request, "GET /work?usec=%ld ", &n) == 1 && n >= 0 && n <= 1000000)
		work(n);
	else if (sscanf(request, "GET /wild?threads=%ld ", &n) == 1 && n >= 0 && n <= MAX_WILD) {
		if (set_wild((int)n) < 0)
			status = "503 Service Unavailable";
	} else if (!strncmp(request, "GET /calm ", 10))
		(void)set_wild(0);
	else if (!strncmp(request, "GET /stats ", 11))
		snprintf(body, sizeof body, "answered %lu wild %d\n",
			 __atomic_load_n(&answered, __ATOMIC_RELAXED),
			 __atomic_load_n(&wild_running, __ATOMIC_RELAXED));
	else
		status = "404 Not Found";
	len = snprintf(reply, sizeof reply,
		       "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
		       "Connection: close\r\n\r\n%s", status, strlen(body), body);
	(void)!send(fd, reply, (size_t)len, MSG_NOSIGNAL);
	__atomic_fetch_add(&answered, 1, __ATOMIC_RELAXED);
}

static void *serve(void *arg) {
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE)
				usleep(10000);
			continue;
		}
		answer(fd);
		close(fd);
	}
	return arg;
}

static int number(const char *s, int lowest, int highest, int *ret) {
	char *end;
	long v = strtol(s, &end, 10);

	if (*s == '\0' || *end != '\0' || v < lowest || v > highest) {
		fprintf(stderr, "httpd-health: \"%s\" is not a number from %d to %d\n", s, lowest, highest);
		return -EINVAL;
	}
	*ret = (int)v;
	return 0;
}

int main(int argc, char **argv) {
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t addr_len = sizeof addr;
	int port = 0, workers = 4, seconds = 600, one = 1, c;
	pid_t parent = getppid();

	while ((c = getopt(argc, argv, "p:w:u:d:")) != -1) {
		int r = 0;

		switch (c) {
		case 'p': r = number(optarg, 0, 65535, &port); break;
		case 'w': r = number(optarg, 1, MAX_WORKERS, &workers); break;
		case 'u': r = number(optarg, 0, 1000000, &health_usec); break;
		case 'd': r = number(optarg, 1, MAX_SECONDS, &seconds); break;
		default: r = -EINVAL;
		}
		if (r < 0) {
			fprintf(stderr, "usage: httpd-health [-p PORT] [-w WORKERS] [-u MICROSECONDS] [-d SECONDS]\n");
			return 64;
		}
	}
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		return 1;
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	addr.sin_port = htons((uint16_t)port);
	if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0
	    || bind(listener, (struct sockaddr *)&addr, sizeof addr) < 0 || listen(listener, 1024) < 0
	    || getsockname(listener, (struct sockaddr *)&addr, &addr_len) < 0) {
		fprintf(stderr, "httpd-health: 127.0.0.1:%d: %s\n", port, strerror(errno));
		return 1;
	}
	for (int i = 0; i < workers; i++) {
		pthread_t t;

		if (pthread_create(&t, NULL, serve, NULL) != 0)
			return 1;
	}
	printf("port %d\n", ntohs(addr.sin_port));
	fflush(stdout);
	sleep((unsigned)seconds);
	return 0;
}
