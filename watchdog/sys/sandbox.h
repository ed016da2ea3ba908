/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox: gives up rights for good. */
#pragma once

/* Becomes `user` (where it does not exist: uid and gid 65534), without groups and
 * capabilities, never to gain any. Does nothing where we are not root. 0 or -errno:
 * then the caller must not go on. */
int sandbox_drop(const char *user);

/* No exec, ptrace, mount, bpf, module, namespace and the like from now on (EPERM).
 * -EOPNOTSUPP: no seccomp, or an architecture it was not written for. */
int sandbox_seccomp(void);
