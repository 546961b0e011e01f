//! Disks that are full when a replica starts, or is founded: it says so, and once there is room all
//! is there. And disks whose power is cut right after a founding.
//!
//! A disk is a file system in memory, which can be made smaller and larger, or one in a file, which
//! can be cut off. It takes root to mount one.

use std::ffi::CString;
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::harness::{ALICE, BANK, Place, Ran, Served};

const ENGINES: [&str; 2] = ["sled", "fjall"];
const BLOCK: u64 = 4096;
/// Enough for everything here.
const ROOMY: u64 = 16_384;

/// A file system of its own, unmounted when it is dropped.
struct Disk {
    mount: PathBuf,
    _temporary: tempfile::TempDir,
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

fn skipped(reason: &str) -> Option<Disk> {
    println!("SKIPPED: full disks and power cuts need root, mount and mkfs.ext4 ({reason})");
    None
}

impl Disk {
    /// One in a file, which keeps what was synced when its power is cut.
    fn in_a_file() -> Option<Disk> {
        let temporary = tempfile::tempdir().unwrap();
        let (mount, image) = (temporary.path().join("disk"), temporary.path().join("image"));
        fs::create_dir(&mount).unwrap();
        fs::File::create(&image).unwrap().set_len(512 << 20).unwrap();
        let made = run(Command::new("mkfs.ext4").args(["-q", "-F", "-E", "lazy_itable_init=1"]).arg(&image))
            .and_then(|()| run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&mount)));
        match made {
            Ok(()) => Some(Disk { mount, _temporary: temporary }),
            Err(reason) => skipped(&reason),
        }
    }

    /// Cuts the file system off from its disk without writing anything out, and mounts it again.
    fn cut_power(&self) {
        const SHUTDOWN: libc::c_ulong = 0x8004_587d;
        let without_flush: u32 = 2;
        let folder = fs::File::open(&self.mount).unwrap();
        // SAFETY: the descriptor is open for the whole call, and the argument points to a u32 that
        // outlives it.
        let result = unsafe { libc::ioctl(folder.as_raw_fd(), SHUTDOWN, &raw const without_flush) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
        drop(folder);
        run(Command::new("umount").arg(&self.mount)).unwrap();
        let image = self.mount.with_file_name("image");
        run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(&self.mount)).unwrap();
    }

    /// `None`, with the reason printed, where this machine cannot mount one.
    fn new(blocks: u64) -> Option<Disk> {
        let temporary = tempfile::tempdir().unwrap();
        let mount = temporary.path().join("disk");
        fs::create_dir(&mount).unwrap();
        let size = format!("size={}", blocks * BLOCK);
        match run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(&mount)) {
            Ok(()) => Some(Disk { mount, _temporary: temporary }),
            Err(reason) => skipped(&reason),
        }
    }

    fn resize(&self, blocks: u64) {
        let size = format!("remount,size={}", blocks * BLOCK);
        run(Command::new("mount").args(["-o", &size]).arg(&self.mount)).unwrap();
    }

    /// Leaves room for so many blocks more than are in use.
    fn leave(&self, blocks: u64) {
        self.resize(used(&self.mount) + blocks);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg("-l").arg(&self.mount));
    }
}

/// The blocks that are in use on the file system of a folder.
fn used(folder: &Path) -> u64 {
    let path = CString::new(folder.as_os_str().as_bytes()).unwrap();
    let mut told = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path ends with a nul, and what is told is read only where the call succeeded.
    let told = unsafe {
        assert_eq!(libc::statvfs(path.as_ptr(), told.as_mut_ptr()), 0, "{}", std::io::Error::last_os_error());
        told.assume_init()
    };
    assert_eq!(told.f_frsize, BLOCK);
    told.f_blocks - told.f_bfree
}

fn place(disk: &Disk) -> Place {
    // The log of the process lies on another disk.
    Place::new(&disk.mount.join("data"))
}

/// Starts it with its own log beside the disk.
fn start(disk: &Disk, place: &Place, engine: &str, more: &[&str]) -> Served {
    let log = disk.mount.with_extension("log");
    Served::spawn(place.command(&[&["--engine", engine], more].concat()), log)
}

#[test]
fn a_book_whose_disk_was_full_at_a_start_is_whole_once_there_is_room() {
    for engine in ENGINES {
        let Some(disk) = Disk::new(ROOMY) else { return };
        let place = place(&disk);
        let mut posted = 0;
        let mut pay = || {
            posted += 1;
            place.folio(&["transfer", "--debit", BANK, "--credit", ALICE, "--amount", "1.00"]).expect(0);
            posted
        };
        let mut served = start(&disk, &place, engine, &["--found"]);
        place.await_leader(&mut served).unwrap();
        place.folio(&["asset", "register", "USD", "--scale", "2"]).expect(0);
        let open = ["account", "open", BANK, "--asset", "USD", "--class", "asset", "--floor", "unlimited"];
        place.folio(&open).expect(0);
        place.folio(&["account", "open", ALICE, "--asset", "USD", "--class", "liability"]).expect(0);
        let (mut expected, mut refusals) = (pay(), 0);
        for (round, room) in [0, 1, 4].into_iter().enumerate() {
            // Killed, so that there is something to recover; started once in between, so that what
            // the start itself must extend is there.
            served.signal(libc::SIGKILL);
            drop(served);
            served = start(&disk, &place, engine, &[]);
            place.await_leader(&mut served).unwrap();
            expected = expected.max(pay());
            served.signal(libc::SIGKILL);
            drop(served);
            disk.leave(room);
            for attempt in 0..2 {
                let mut full = start(&disk, &place, engine, &[]);
                match place.await_leader(&mut full) {
                    // It had room enough to start.
                    Ok(()) => full.signal(libc::SIGKILL),
                    Err(said) => {
                        let told = format!("{engine}, round {round}, attempt {attempt}: {said}");
                        refusals += 1;
                        assert!(said.contains("is full") && !said.contains("damaged"), "{told}");
                        assert_eq!(full.wait(), 1, "{told}");
                    }
                }
            }
            disk.resize(ROOMY);
            served = start(&disk, &place, engine, &[]);
            place.await_leader(&mut served).unwrap();
            let balance = place.folio(&["balance", ALICE, "--output", "json"]).expect(0).json();
            assert_eq!(balance["posted"], format!("{expected}.00"), "{engine}, round {round}");
        }
        // fjall has what it writes at a start set aside.
        println!("{engine}: {refusals} starts on a full disk were refused");
        assert!(engine != "sled" || refusals > 0, "the disk was never full");
    }
}

#[test]
fn a_founding_for_which_there_was_no_room_is_repeated_once_there_is() {
    for engine in ENGINES {
        let mut refusals = 0;
        for blocks in [1, 2, 4, 8, 16, 40] {
            let Some(disk) = Disk::new(blocks) else { return };
            let place = place(&disk);
            let mut served = start(&disk, &place, engine, &["--found"]);
            match place.await_leader(&mut served) {
                Ok(()) => served.signal(libc::SIGKILL),
                Err(said) => {
                    let ran = Ran { code: served.wait(), stdout: String::new(), stderr: said };
                    println!("{engine}, {blocks} blocks: {}", ran.stderr.trim());
                    assert!(!ran.stderr.contains("damaged"), "{ran:?}");
                    ran.expect(1).says(&["full"]);
                    refusals += 1;
                }
            }
            drop(served);
            disk.resize(ROOMY);
            let mut served = start(&disk, &place, engine, &["--found"]);
            if let Err(said) = place.await_leader(&mut served) {
                panic!("{engine}, {blocks} blocks: {said}");
            }
            assert_eq!(served.stop(), 0, "{}", served.said());
        }
        assert!(refusals > 2, "{engine}: the disk was full {refusals} times only");
    }
}

#[test]
fn a_founding_that_was_told_survives_a_power_cut() {
    for engine in ENGINES {
        let Some(disk) = Disk::in_a_file() else { return };
        let place = place(&disk);
        let mut served = start(&disk, &place, engine, &["--found"]);
        place.await_leader(&mut served).unwrap();
        // What nobody synced must be gone, or the cut was none.
        let control = disk.mount.join("control");
        fs::write(&control, "not synced").unwrap();
        served.signal(libc::SIGKILL);
        drop(served);
        disk.cut_power();
        assert!(!fs::read(&control).is_ok_and(|content| content == b"not synced"), "the power cut lost nothing");
        let mut served = start(&disk, &place, engine, &[]);
        if let Err(said) = place.await_leader(&mut served) {
            panic!("{engine}: {said}");
        }
        assert_eq!(served.stop(), 0, "{}", served.said());
    }
}
