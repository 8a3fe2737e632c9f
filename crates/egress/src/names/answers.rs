//! What an answer says of the one question that was asked.

use std::net::IpAddr;

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RData};

/// Aliases that are followed within one answer.
const MAX_CHAIN: usize = 8;

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Answers {
    /// Addresses of the asked kind.
    Addresses(Vec<IpAddr>),
    /// The name, or one that it stands for, has none.
    Nothing,
    /// It stands for this name, of which the answer says nothing.
    Alias(Name),
}

/// Reads an answer. `None`: to another question. `Err(None)`: it was cut. `Err(Some)`: the server failed.
pub fn read(bytes: &[u8], id: u16, query: &Query) -> Option<Result<Answers, Option<String>>> {
    let message = Message::from_vec(bytes).ok()?;
    let [asked] = message.queries.as_slice() else { return None };
    let same = asked.name().eq_ignore_root_case(query.name())
        && asked.query_type() == query.query_type()
        && asked.query_class() == query.query_class();
    let metadata = &message.metadata;
    if metadata.id != id || metadata.message_type != MessageType::Response || !same {
        return None;
    }
    if metadata.truncation {
        return Some(Err(None));
    }
    match metadata.response_code {
        ResponseCode::NoError => {}
        ResponseCode::NXDomain => return Some(Ok(Answers::Nothing)),
        code => return Some(Err(Some(format!("it answered {code}")))),
    }
    let mut at = query.name().clone();
    let mut aliased = false;
    // Only records of the name that was asked for, or of one that it leads to, count.
    for _ in 0..=MAX_CHAIN {
        let of_it = || message.answers.iter().filter(|record| record.name.eq_ignore_root_case(&at));
        let found: Vec<IpAddr> = of_it()
            .filter(|record| record.record_type() == query.query_type())
            .filter_map(|record| match &record.data {
                RData::A(a) => Some(IpAddr::V4(a.0)),
                RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
                _ => None,
            })
            .collect();
        if !found.is_empty() {
            return Some(Ok(Answers::Addresses(found)));
        }
        let next = of_it().find_map(|record| match &record.data {
            RData::CNAME(to) => Some(to.0.clone()),
            _ => None,
        });
        match next {
            Some(next) => (at, aliased) = (next, true),
            None if aliased => return Some(Ok(Answers::Alias(at))),
            None => return Some(Ok(Answers::Nothing)),
        }
    }
    Some(Err(Some("its aliases go on and on".to_owned())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use hickory_proto::op::{Message, OpCode};
    use hickory_proto::rr::rdata::{A, CNAME};
    use hickory_proto::rr::{Record, RecordType};

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn answer(id: u16, query: &Query, records: Vec<Record>) -> Vec<u8> {
        let mut message = Message::response(id, OpCode::Query);
        message.add_query(query.clone());
        message.add_answers(records);
        message.to_vec().unwrap()
    }

    #[test]
    fn only_what_belongs_to_the_question_counts() {
        let query = Query::query(name("a.example."), RecordType::A);
        let a = |of: &str, last| Record::from_rdata(name(of), 1, RData::A(A::new(192, 0, 2, last)));
        let alias = |of: &str, to: &str| Record::from_rdata(name(of), 1, RData::CNAME(CNAME(name(to))));
        let stray = answer(7, &query, vec![a("b.example.", 9), a("a.example.", 1)]);
        assert_eq!(read(&stray, 7, &query), Some(Ok(Answers::Addresses(vec![[192, 0, 2, 1].into()]))));
        assert_eq!(read(&stray, 8, &query), None);
        assert_eq!(read(&stray, 7, &Query::query(name("b.example."), RecordType::A)), None);
        let chain = answer(7, &query, vec![a("c.example.", 3), alias("a.example.", "c.example.")]);
        assert_eq!(read(&chain, 7, &query), Some(Ok(Answers::Addresses(vec![[192, 0, 2, 3].into()]))));
        let away = answer(7, &query, vec![alias("a.example.", "c.example.")]);
        assert_eq!(read(&away, 7, &query), Some(Ok(Answers::Alias(name("c.example.")))));
        let round = answer(7, &query, vec![alias("a.example.", "c.example."), alias("c.example.", "a.example.")]);
        assert!(matches!(read(&round, 7, &query), Some(Err(Some(_)))));
        assert_eq!(read(b"no message", 7, &query), None);
    }
}
