/* SPDX-License-Identifier: Apache-2.0 */
/* drift: what others did to what the guard wrote, told to the engine. */
#pragma once

#include "ctl/driver.h"

void drift_look(struct driver *d);
