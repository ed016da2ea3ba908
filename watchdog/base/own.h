/* SPDX-License-Identifier: Apache-2.0 */
/* own: the cgroups that are reprieve's, from the hierarchy's root. Never a target, never a victim. */
#pragma once

#define OWN_CANARY  "reprieve-canary"
#define OWN_HELPERS "reprieve-helpers"
#define OWN_ARM     "reprieve-arm"
#define OWN_SLICE   "/system.slice"     /* where sshd lives, and with it the canary */

/* Made by the guard itself; one that was killed leaves them, empty. */
#define OWN_MADE    "/" OWN_CANARY, OWN_SLICE "/" OWN_CANARY, "/" OWN_HELPERS, "/" OWN_ARM
#define OWN_CGROUPS OWN_MADE, OWN_SLICE "/reprieve.service", OWN_SLICE "/reprieve-steward.service", OWN_SLICE "/reprieve-courier.service"
