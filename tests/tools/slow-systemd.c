/* SPDX-License-Identifier: Apache-2.0 */
/* slow-systemd SOCKET UNIT STATE: stands in for systemd, with one unit. Its weight is
 * the first 8 bytes of the file STATE, all ones where none is set. Slow is who stops its
 * process group. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/un.h>

#include "tests/unit/standin.h"

int main(int argc, char **argv)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), state;

	if (argc != 4 || strlen(argv[1]) >= sizeof(sa.sun_path))
		return 64;
	strcpy(sa.sun_path, argv[1]);
	state = open(argv[3], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (state < 0 || ftruncate(state, sizeof(*g)) < 0)
		return 1;
	g = mmap(NULL, sizeof(*g), PROT_READ | PROT_WRITE, MAP_SHARED, state, 0);
	if (g == MAP_FAILED)
		return 1;
	g->weight[0] = UINT64_MAX;
	g_units[0] = argv[2];
	if (bind(listener, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(listener, 5) < 0)
		return 1;
	serve(listener);
}
