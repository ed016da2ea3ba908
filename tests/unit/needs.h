/* SPDX-License-Identifier: Apache-2.0 */
/* A skip that says its need, one of those that tests/run knows. After cmocka.h. */
#pragma once

#define needs(what) do { print_message("# needs: %s\n", (what)); skip(); } while (0)
