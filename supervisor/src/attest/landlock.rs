//! Landlock has no read-back in /proc: what the kernel returned, and canaries that must have died.

use nix::libc::EACCES;
use serde_json::json;

use super::Layer;
use crate::launch::Newborn;

pub(super) fn landlock(newborn: &Newborn) -> Layer {
    let mut layer = Layer::new("landlock");
    let (abi, file, net) = newborn.landlock;
    layer.expect("ABI", &abi.to_string(), &newborn.plan.landlock.abi.to_string());
    layer.expect("canary file's errno", &file.to_string(), &EACCES.to_string());
    let planned_net = if abi >= 4 { EACCES } else { 0 };
    layer.expect("canary port's errno", &net.to_string(), &planned_net.to_string());
    let rules: Vec<_> = newborn.plan.landlock.rules.iter().map(|r| format!("{} {:?}", r.path, r.access)).collect();
    let connect = &newborn.plan.landlock.connect;
    layer.summary = format!("ABI {abi} fully enforced, {} rules; canary opened before, EACCES after", rules.len());
    layer.details = json!({"abi": abi, "status": "FullyEnforced", "canary_file_errno": file, "canary_port_errno": net, "rules": rules});
    if let (false, Some(details)) = (connect.is_empty(), layer.details.as_object_mut()) {
        details.insert("connect_tcp".into(), connect.clone().into());
    }
    layer
}
