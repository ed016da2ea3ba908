/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-wire: hostile packets through every reader of the helpers' messages. The
 * first byte chooses one; the rest are the fields, below a good header, or, for an
 * odd choice, the whole packet. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "steward/talk.h"
#include "sys/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct wire w;
static struct talk_globs globs;
static uint8_t packet[WIRE_MAX + 1];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_header h = { WIRE_MAGIC, WIRE_VERSION, PROTOCOL_RANK, WIRE_ANSWER, 0, 1 };
	union {
		struct talk_answer answer; struct talk_rank rank; struct talk_name name; struct talk_check check;
		struct talk_lifeline lifeline; struct talk_found_row row; struct talk_named named;
		struct talk_lifelined lifelined; struct talk_checked checked; char text[64];
	} u;
	static struct talk_ranked ranked;
	enum protocol_role role;
	int32_t pid;
	uint32_t n;
	bool truncated;
	size_t len;
	uint8_t choice;

	if (size < 1 || size > sizeof(packet) - sizeof(h))
		return 0;
	choice = data[0];
	data++;
	size--;
	if (choice & 1) {
		if (wire_parse(&w, data, size) < 0)
			return 0;
	} else {
		h.size = (uint32_t)(sizeof(h) + size);
		memcpy(packet, &h, sizeof(h));
		memcpy(packet + sizeof(h), data, size);
		if (wire_parse(&w, packet, h.size) < 0)
			return 0;
	}
	switch ((choice >> 1) % 13) {
	case 0: (void)talk_get_answer(&w, &u.answer); (void)talk_get_ranked(&w, &ranked); break;
	case 1: (void)talk_get_rank(&w, &u.rank, &globs); break;
	case 2: (void)talk_get_find(&w, u.text, sizeof(u.text), &globs); break;
	case 3: (void)talk_get_name(&w, &u.name); break;
	case 4: (void)talk_get_lifeline(&w, &u.lifeline); break;
	case 5: (void)talk_get_check(&w, &u.check); break;
	case 6: (void)talk_get_hello(&w, &role, &pid, u.text, sizeof(u.text)); break;
	case 7:
		if (talk_get_found(&w, &truncated, &n) == 0)
			while (n-- > 0 && talk_get_found_row(&w, &u.row) == 0)
				;
		break;
	case 8: (void)talk_get_named(&w, &u.named); break;
	case 9: (void)talk_get_lifelined(&w, &u.lifelined); break;
	case 10: (void)talk_get_checked(&w, &u.checked); break;
	case 11:
		while (w.error == 0 && !wire_at_end(&w))
			(void)wire_view_bytes(&w, &len);
		break;
	default:
		while (w.error == 0 && !wire_at_end(&w))
			(void)wire_view_str(&w);
	}
	return 0;
}
