//! Every script is a test of the same name.

use crate::script::check;

macro_rules! scripts {
    ($folder:literal: $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(concat!($folder, stringify!($name)));
            }
        )*

    };
}

mod tcc {
    use super::check;
    scripts! {
        "tcc/":
        row_01_try_again
        row_02_other_content
        row_03_refused_stays_refused
        row_04_confirm_never_fails
        row_05_confirm_again
        row_06_confirm_differs
        row_07_confirm_in_part
        row_08_confirm_too_much
        row_09_confirm_unknown
        row_10_confirm_after_cancel
        row_11_confirm_after_deadline
        row_12_cancel_releases
        row_13_cancel_again
        row_14_cancel_after_confirm
        row_15_empty_cancel
        row_16_suspension
        row_17_cancel_after_deadline
        row_18_cancel_after_refused_try
        row_19_races
        row_20_confirm_on_frozen
        row_21_look_up
    }
}

mod refusals {
    use super::check;
    scripts! {
        "refusals/":
        register_asset
        open_account
        set_limits
        freeze_unfreeze
        close
        post
        post_shape
        try_hold
        confirm
        cancel
        reverse
        reverse_parts
    }
}

mod book {
    use super::check;
    scripts! {
        "book/":
        batches
        batches_refused_expiry
        batches_shape
        requests
        expiry
        expiry_ends_holds
        assets
    }
}

/// A script that no test runs shows nothing, and a row that the promises do not name cannot be found.
#[test]
fn every_script_is_run_and_every_row_is_named() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let promises = std::fs::read_to_string(folder.join("../../docs/semantics.md")).unwrap();
    let mut count = 0;
    for part in ["tcc", "refusals", "book"] {
        for file in std::fs::read_dir(folder.join("tests/scripts").join(part)).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let stem = name.strip_suffix(".txt").unwrap_or_else(|| panic!("{name} is no script"));
            let listed = include_str!("scripts.rs").lines().any(|line| line.trim() == stem);
            assert!(listed, "script {part}/{stem} is not run");
            assert!(promises.contains(&format!("`{part}/{stem}`")), "docs/semantics.md does not name {part}/{stem}");
            count += 1;
        }
    }
    assert!(count >= 40);
}
