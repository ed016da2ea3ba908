/* SPDX-License-Identifier: Apache-2.0 */
/* settings: what [Relief] of reprieve.conf says beyond core/policy.h's struct
 * settings: things only the guard's wiring needs. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/units.h"

enum probe_mode { PROBE_AUTO, PROBE_ALWAYS, PROBE_OFF, _PROBE_MAX };

struct guard_settings {
	enum probe_mode probe;          /* Probe=auto: attached while there is pressure; always; off: no BPF at all */
	uint64_t recorder_bytes;        /* FlightRecorder=16M: bound of the flight record; 0 = none */
	bool lifeline;                  /* Lifeline=yes: gives Weight= of [Protect] in rescue and enforce */
};

extern const struct guard_settings GUARD_SETTINGS_DEFAULT;

const char *probe_mode_to_string(enum probe_mode mode);
