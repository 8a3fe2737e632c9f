//! Random numbers: secure ones are `random` calls, on the record; insecure ones are the same in
//! every run and cross nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use stockade_wire::frame::Status;
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

use super::Host;
use crate::run::end::Stop;

/// The tool's name.
const RANDOM: &str = "random";
/// Most bytes of one call of the tool.
const CHUNK: u64 = 4096;
/// Most bytes of one WASI call.
const MAX_BYTES: u64 = 64 << 10;
/// Where the insecure numbers start: any constant does, it must only stay the same.
const SEED: u64 = 0x73_74_6f_63_6b_61_64_65;

/// SplitMix64 (Steele, Lea, Flood 2014) from a constant.
#[derive(Debug)]
pub(super) struct Noise(u64);

impl Default for Noise {
    fn default() -> Self {
        Self(SEED)
    }
}

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The result of the `random` tool.
#[derive(Deserialize)]
struct Drawn {
    base64: String,
}

impl Host {
    fn draw(&mut self, length: u64) -> Result<Vec<u8>, Stop> {
        if length > MAX_BYTES {
            return Err(Stop::RandomLength(length));
        }
        let mut bytes = Vec::new();
        let mut left = length;
        while left > 0 {
            let part = left.min(CHUNK);
            bytes.extend_from_slice(&self.draw_part(part)?);
            left -= part;
        }
        Ok(bytes)
    }

    fn draw_part(&mut self, length: u64) -> Result<Vec<u8>, Stop> {
        let (status, body) = self.ask(RANDOM, format!("{{\"length\":{length}}}"))?;
        match status {
            Status::Ok => serde_json::from_str::<Drawn>(&body)
                .ok()
                .and_then(|drawn| STANDARD.decode(drawn.base64).ok())
                .filter(|bytes| bytes.len() as u64 == length)
                .ok_or(Stop::Tool { tool: RANDOM, answer: "not the bytes asked for".to_owned() }),
            Status::Denied => Err(Stop::Denied { tool: RANDOM, answer: body }),
            Status::Invalid | Status::Failed | Status::Limit => Err(Stop::Tool { tool: RANDOM, answer: body }),
        }
    }
}

impl random::Host for Host {
    fn get_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        Ok(self.draw(length)?)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        let bytes = self.draw(8)?;
        Ok(bytes.first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b)))
    }
}

impl insecure::Host for Host {
    fn get_insecure_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        if length > MAX_BYTES {
            return Err(Stop::RandomLength(length).into());
        }
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < length {
            bytes.extend_from_slice(&self.noise.next().to_le_bytes());
        }
        bytes.truncate(usize::try_from(length).unwrap_or(0));
        Ok(bytes)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.noise.next())
    }
}

impl insecure_seed::Host for Host {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((SEED, !SEED))
    }
}
