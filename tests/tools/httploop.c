/* SPDX-License-Identifier: Apache-2.0 */
/*
 * httploop: closed-loop HTTP clients, each with one request at a time.
 *
 *   httploop -p PORT [-c CLIENTS] [-d SECONDS] [-P PATH]
 *
 * Every client opens a connection, asks, reads to the end, and begins again. Prints
 * one line: "requests N errors N rate R p50_us N p99_us N max_us N". Requests begun
 * in the last instant are counted when they end. PATH may hold one %d, which becomes
 * a random number up to a million. Dies with its parent.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define MAX_CLIENTS 512
#define MAX_SAMPLES (1 << 20)           /* of each client; beyond: counted, not kept */
#define TIMEOUT_SEC 30

struct client {
	pthread_t thread;
	unsigned seed;
	uint32_t *sample;
	unsigned n, errors;
};

static const char *path = "/health";
static int port;
static uint64_t end_us;

static uint64_t now_us(void) {
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Replaces the one %d: no format string from the command line reaches printf. */
static int make_request(char *buf, size_t size, unsigned number) {
	const char *mark = strstr(path, "%d");

	if (!mark)
		return snprintf(buf, size, "GET %s HTTP/1.1\r\nHost: lab\r\n\r\n", path);
	return snprintf(buf, size, "GET %.*s%u%s HTTP/1.1\r\nHost: lab\r\n\r\n", (int)(mark - path), path, number, mark + 2);
}

static int ask(struct client *c) {
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct timeval timeout = { .tv_sec = TIMEOUT_SEC };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), good = 0, len;
	char buf[1024];
	ssize_t r;

	if (fd < 0)
		return 0;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
	len = make_request(buf, sizeof buf, (unsigned)rand_r(&c->seed) % 1000000);
	if (connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0 && send(fd, buf, (size_t)len, MSG_NOSIGNAL) == len) {
		r = recv(fd, buf, sizeof buf, 0);
		good = r > 12 && !memcmp(buf, "HTTP/1.1 200", 12);
		while (r > 0)
			r = recv(fd, buf, sizeof buf, 0);
	}
	close(fd);
	return good;
}

static void *loop(void *arg) {
	struct client *c = arg;

	for (;;) {
		uint64_t start = now_us();

		if (start >= end_us)
			return NULL;
		if (ask(c)) {
			if (c->n < MAX_SAMPLES)
				c->sample[c->n++] = (uint32_t)(now_us() - start);
		} else {
			c->errors++;
			usleep(1000);
		}
	}
}

static int ascending(const void *a, const void *b) {
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv) {
	static struct client clients[MAX_CLIENTS];
	int n_clients = 8, seconds = 10, c;
	pid_t parent = getppid();
	unsigned long n = 0, errors = 0;
	uint32_t *all;
	uint64_t start;

	while ((c = getopt(argc, argv, "p:c:d:P:")) != -1)
		switch (c) {
		case 'p': port = atoi(optarg); break;
		case 'c': n_clients = atoi(optarg); break;
		case 'd': seconds = atoi(optarg); break;
		case 'P': path = optarg; break;
		default: return 64;
		}
	if (port < 1 || port > 65535 || n_clients < 1 || n_clients > MAX_CLIENTS || seconds < 1 || strlen(path) > 512)
		return 64;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		return 1;
	start = now_us();
	end_us = start + (uint64_t)seconds * 1000000;
	for (int i = 0; i < n_clients; i++) {
		clients[i].seed = (unsigned)i + 1;
		clients[i].sample = malloc(MAX_SAMPLES * sizeof(uint32_t));
		if (!clients[i].sample || pthread_create(&clients[i].thread, NULL, loop, &clients[i]) != 0)
			return 1;
	}
	for (int i = 0; i < n_clients; i++) {
		pthread_join(clients[i].thread, NULL);
		n += clients[i].n;
		errors += clients[i].errors;
	}
	all = malloc((n ? n : 1) * sizeof *all);
	if (!all)
		return 1;
	n = 0;
	for (int i = 0; i < n_clients; i++) {
		memcpy(all + n, clients[i].sample, clients[i].n * sizeof *all);
		n += clients[i].n;
	}
	qsort(all, n, sizeof *all, ascending);
	printf("requests %lu errors %lu rate %.1f p50_us %u p99_us %u max_us %u\n", n, errors,
	       (double)n * 1e6 / (double)(now_us() - start), n ? all[n / 2] : 0, n ? all[n * 99 / 100] : 0, n ? all[n - 1] : 0);
	return 0;
}
