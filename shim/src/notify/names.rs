//! Names for numbers.

use syscalls::{x86, x86_64};

/// `AUDIT_ARCH_X86_64` (linux/audit.h).
pub const X86_64: u32 = 0xc000_003e;
/// `AUDIT_ARCH_I386`: what `int 0x80` is, also from a 64-bit program.
pub const I386: u32 = 0x4000_0003;

/// The architecture's name, or its `AUDIT_ARCH_*` value in hex.
#[must_use]
pub fn arch_name(arch: u32) -> String {
    match arch {
        X86_64 => "x86_64".to_owned(),
        I386 => "i386".to_owned(),
        other => format!("{other:#010x}"),
    }
}

/// The syscall's name, if the architecture has one of this number.
#[must_use]
pub fn known(arch: u32, nr: i32) -> Option<&'static str> {
    let nr = usize::try_from(nr).ok()?;
    match arch {
        X86_64 => x86_64::Sysno::new(nr).map(|s| s.name()),
        I386 => x86::Sysno::new(nr).map(|s| s.name()),
        _ => None,
    }
}

/// The syscall's name, or `syscall_N`.
#[must_use]
pub fn syscall_name(arch: u32, nr: i32) -> String {
    known(arch, nr).map_or_else(|| format!("syscall_{nr}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_kernel_names() {
        let numbers = [
            (libc::SYS_read, "read"),
            (libc::SYS_getppid, "getppid"),
            (libc::SYS_clone3, "clone3"),
            (libc::SYS_mseal, "mseal"),
            (libc::SYS_open_tree, "open_tree"),
            (453, "map_shadow_stack"),
            (469, "file_setattr"),
        ];
        for (nr, name) in numbers {
            assert_eq!(syscall_name(X86_64, i32::try_from(nr).unwrap_or(-1)), name);
        }
        // The same number means something else to a 32-bit caller.
        assert_eq!(syscall_name(I386, 11), "execve");
        assert_eq!(syscall_name(X86_64, 11), "munmap");
    }

    #[test]
    fn what_has_no_name_says_its_number() {
        assert_eq!(syscall_name(X86_64, 9999), "syscall_9999");
        assert_eq!(syscall_name(X86_64, -1), "syscall_-1");
        // x32 (bit 30 of the number) is another table.
        assert_eq!(syscall_name(X86_64, 0x4000_0000), "syscall_1073741824");
        assert_eq!(syscall_name(7, 1), "syscall_1");
        assert_eq!(arch_name(7), "0x00000007");
    }
}
