//! What single adapters promise beside the port: which folders they open, the memory engine's crash,
//! sled's expiring views, and the note of synced writes beside fjall and sled.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs
)]

use std::{fs, path::Path};

use folio::book::records::Kind;
use folio::store::{
    Batch, Engine, EngineKind, Space, SpaceId, StoreError,
    fjall::FjallBounds,
    folder::{Contents, Folder},
    memory::MemoryEngine,
    open,
    sled::MAX_REMEMBERED_BYTES,
};

const ON_DISK: [EngineKind; 2] = [EngineKind::Fjall, EngineKind::Sled];

fn rows() -> SpaceId {
    SpaceId::new("rows", 1)
}

fn put(engine: &dyn Engine, space: Space, key: &[u8], value: &[u8]) {
    let mut batch = Batch::new();
    batch.put(space, key, value);
    engine.write(&batch).unwrap();
}

fn get(engine: &dyn Engine, key: &[u8]) -> Option<Vec<u8>> {
    let space = engine.space(&rows())?;
    engine.view().unwrap().get(space, key).unwrap().map(|value| value.to_vec())
}

fn refusal(kind: EngineKind, folder: &Path) -> StoreError {
    match open(kind, folder) {
        Ok(_) => panic!("{kind} opened {}", folder.display()),
        Err(error) => error,
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn a_folder_in_use_is_refused_until_it_is_closed() {
    for kind in ON_DISK {
        let folder = tempfile::tempdir().unwrap();
        let engine = open(kind, folder.path()).unwrap();
        assert!(matches!(refusal(kind, folder.path()), StoreError::InUse { .. }), "{kind}");
        drop(engine);
        open(kind, folder.path()).unwrap();
    }
}

#[test]
fn a_folder_of_somebody_else_is_refused_and_left_alone() {
    for kind in ON_DISK {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("holiday.jpg"), b"sand").unwrap();
        assert!(matches!(refusal(kind, folder.path()), StoreError::NotOurs { .. }), "{kind}");
        assert_eq!(fs::read(folder.path().join("holiday.jpg")).unwrap(), b"sand");
        assert!(!folder.path().join("FORMAT").exists());
    }
}

#[test]
fn another_engine_other_contents_and_an_unknown_version_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(EngineKind::Fjall, folder.path()).unwrap());
    let error = refusal(EngineKind::Sled, folder.path());
    assert!(matches!(&error, StoreError::OtherEngine { found, wanted, .. } if found == "fjall" && wanted == "sled"));
    let error = Folder::open(folder.path(), Contents::Log, "fjall").unwrap_err();
    assert!(matches!(&error, StoreError::OtherContents { found, wanted, .. } if found == "book" && wanted == "log"));
    let body = "folio data folder\nversion 7\nfields of the future\n";
    let text = format!("{body}checksum {:08x}\n", crc32fast::hash(body.as_bytes()));
    fs::write(folder.path().join("FORMAT"), text).unwrap();
    let error = refusal(EngineKind::Fjall, folder.path());
    assert!(matches!(error, StoreError::UnknownVersion { found: 7, supported: 3, .. }), "{error}");
}

#[test]
fn data_that_has_gone_missing_is_never_taken_for_a_new_book() {
    for kind in ON_DISK {
        for missing in ["data", "data/version", "data/db", "SYNCED"] {
            let folder = tempfile::tempdir().unwrap();
            drop(open(kind, folder.path()).unwrap());
            let path = folder.path().join(missing);
            if !path.exists() {
                continue;
            }
            if path.is_dir() {
                fs::remove_dir_all(&path).unwrap()
            } else {
                fs::remove_file(&path).unwrap()
            }
            let error = refusal(kind, folder.path());
            assert!(matches!(error, StoreError::Damaged { .. } | StoreError::Io { .. }), "{kind} {missing}: {error}");
        }
    }
}

#[test]
fn a_creation_that_was_cut_off_begins_again() {
    for kind in ON_DISK {
        let folder = tempfile::tempdir().unwrap();
        drop(Folder::open(folder.path(), Contents::Book, kind.name()).unwrap());
        fs::write(folder.path().join("data/rubbish"), b"half a file").unwrap();
        let engine = open(kind, folder.path()).unwrap();
        assert_eq!(engine.spaces(), vec![]);
        assert!(!folder.path().join("data/rubbish").exists());
    }
}

#[test]
fn data_set_back_to_before_a_sync_is_refused() {
    for kind in ON_DISK {
        let temporary = tempfile::tempdir().unwrap();
        let (folder, older) = (temporary.path().join("book"), temporary.path().join("older"));
        let engine = open(kind, &folder).unwrap();
        let space = engine.create_space(&rows()).unwrap();
        put(&*engine, space, b"a", b"1");
        engine.sync().unwrap();
        drop(engine);
        copy_folder(&folder.join("data"), &older);
        let engine = open(kind, &folder).unwrap();
        put(&*engine, engine.space(&rows()).unwrap(), b"a", b"2");
        engine.sync().unwrap();
        drop(engine);
        fs::remove_dir_all(folder.join("data")).unwrap();
        copy_folder(&older, &folder.join("data"));
        let error = refusal(kind, &folder);
        assert!(matches!(error, StoreError::Damaged { .. }), "{kind}: {error}");
        assert!(error.to_string().contains("were synced"), "{kind}: {error}");
    }
}

#[test]
fn sleds_views_expire_past_their_bound_and_new_ones_read_on() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(EngineKind::Sled, folder.path()).unwrap();
    let space = engine.create_space(&rows()).unwrap();
    let large = vec![1; 1 << 20];
    put(&*engine, space, b"a", &large);
    let view = engine.view().unwrap();
    let mut writes = 0;
    while view.get(space, b"a").is_ok() {
        put(&*engine, space, b"a", &large);
        writes += 1;
        assert!(writes <= MAX_REMEMBERED_BYTES >> 20, "the view outlived its bound");
    }
    assert!(writes > 40, "the view expired after {writes} writes already");
    assert!(matches!(view.get(space, b"b"), Err(StoreError::ViewExpired)));
    let next = engine.view().unwrap();
    put(&*engine, space, b"a", b"small");
    assert_eq!(next.get(space, b"a").unwrap().unwrap().len(), large.len());
    drop(view);
    assert_eq!(next.get(space, b"a").unwrap().unwrap().len(), large.len());
    assert_eq!(get(&*engine, b"a"), Some(b"small".to_vec()));
}

#[test]
fn a_crash_in_memory_loses_what_was_not_synced_and_nothing_else() {
    let build = || {
        let engine = MemoryEngine::new();
        let space = engine.create_space(&rows()).unwrap();
        put(&engine, space, b"synced", b"1");
        put(&engine, space, b"both", b"old");
        engine.sync().unwrap();
        put(&engine, space, b"both", b"new");
        put(&engine, space, b"unsynced", b"1");
        let mut batch = Batch::new();
        batch.delete(space, b"synced");
        engine.write(&batch).unwrap();
        engine.create_space(&SpaceId::new("late", 1)).unwrap();
        engine
    };
    let states =
        [("old", None, true, 1), ("new", None, true, 1), ("new", Some("1"), true, 1), ("new", Some("1"), false, 1)];
    for (survivors, (both, unsynced, synced, spaces)) in states.into_iter().enumerate() {
        let engine = build();
        assert_eq!(engine.unsynced(), 4);
        let left = engine.crash(survivors);
        assert_eq!(get(&left, b"both").unwrap(), both.as_bytes());
        assert_eq!(get(&left, b"unsynced"), unsynced.map(|value| value.as_bytes().to_vec()));
        assert_eq!(get(&left, b"synced").is_some(), synced);
        assert_eq!(left.spaces().len(), spaces);
        assert!(matches!(engine.write(&Batch::new()), Err(StoreError::Stopped { .. })));
    }
    assert_eq!(build().reopen().spaces().len(), 2);
}

#[test]
fn a_space_dropped_in_memory_is_gone_with_all_before_it_synced() {
    let engine = MemoryEngine::new();
    let space = engine.create_space(&rows()).unwrap();
    engine.create_space(&SpaceId::new("old", 1)).unwrap();
    put(&engine, space, b"a", b"1");
    engine.drop_space(&SpaceId::new("old", 1)).unwrap();
    let left = engine.crash(0);
    assert_eq!(left.spaces(), vec![rows()]);
    assert_eq!(get(&left, b"a"), Some(b"1".to_vec()));
}

#[test]
fn fjall_knows_the_spaces_of_runs_by_the_names_that_the_book_gives_them() {
    let runs = [Kind::Ids, Kind::Postings, Kind::References].map(Kind::name);
    assert_eq!(FjallBounds::default().uncompressed, runs);
}
