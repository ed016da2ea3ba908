/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox: for the courier, which parses what strangers send.
 *
 * The filter names what is denied, not what is allowed: libcurl, TLS and the
 * resolver use whatever their next version likes, and a courier that a library
 * update breaks is worth less than the difference. It takes away each step from
 * "code runs in the courier" to "something else runs on the machine". */
#include "sys/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/macro.h"

#define NOBODY 65534

int sandbox_drop(const char *user)
{
	int death = 0;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (geteuid() == 0) {
		const struct passwd *pw = getpwnam(user);
		uid_t uid = pw != NULL && pw->pw_uid != 0 ? pw->pw_uid : NOBODY;
		gid_t gid = pw != NULL && pw->pw_uid != 0 ? pw->pw_gid : NOBODY;

		/* A change of identity clears the death signal: keep it. */
		(void)prctl(PR_GET_PDEATHSIG, &death);
		for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
			(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
		if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
			return -errno;
		if (setuid(0) == 0 || geteuid() == 0)
			return -EPERM;
		if (death != 0)
			(void)prctl(PR_SET_PDEATHSIG, death);
	}
	return 0;
}

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

#define DENY(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)

int sandbox_seccomp(void)
{
#ifdef ARCH
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		/* The x32 numbers of x86-64: a second door to the same calls. */
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		DENY(execve), DENY(execveat), DENY(ptrace), DENY(process_vm_readv), DENY(process_vm_writev),
		DENY(kexec_load), DENY(init_module), DENY(finit_module), DENY(delete_module),
		DENY(mount), DENY(umount2), DENY(pivot_root), DENY(chroot), DENY(setns), DENY(unshare),
		DENY(bpf), DENY(perf_event_open), DENY(userfaultfd), DENY(keyctl), DENY(add_key), DENY(request_key),
		DENY(io_uring_setup), DENY(pidfd_getfd), DENY(open_by_handle_at), DENY(name_to_handle_at),
		DENY(reboot), DENY(swapon), DENY(swapoff), DENY(sethostname), DENY(settimeofday), DENY(clock_settime),
		DENY(adjtimex), DENY(personality), DENY(acct), DENY(quotactl), DENY(mknodat),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { .len = ELEMENTSOF(code), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog, 0, 0) < 0)
		return errno == EINVAL ? -EOPNOTSUPP : -errno;
	return 0;
#else
	return -EOPNOTSUPP;
#endif
}
