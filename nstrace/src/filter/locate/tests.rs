use super::*;

#[track_caller]
fn check(expression: &str, expected: &[&str]) {
    let found: Vec<&str> = tokens(expression)
        .into_iter()
        .map(|token| &expression[token])
        .collect();
    assert_eq!(found, expected, "{expression}");
}

#[test]
fn tokens_are_those_of_libpcap() {
    check("tcp and port 80", &["tcp", "and", "port", "80"]);
    check("\ttcp\r\nor udp ", &["tcp", "or", "udp"]);
    check(
        "tcp[13]&2!=0",
        &["tcp", "[", "13", "]", "&", "2", "!=", "0"],
    );
    check("ether[0:2]", &["ether", "[", "0", ":", "2", "]"]);
    check("1<<2>=3", &["1", "<<", "2", ">=", "3"]);
    check("!(arp||ip)", &["!", "(", "arp", "||", "ip", ")"]);
    check("net 192.0.2.0/24", &["net", "192.0.2.0", "/", "24"]);
    check("host 2001:db8::1", &["host", "2001:db8::1"]);
    check("host fe80::a:1.2.3.4", &["host", "fe80::a:1.2.3.4"]);
    check("::1/128", &["::1", "/", "128"]);
    check("ether 0:1:2:a:b:c", &["ether", "0:1:2:a:b:c"]);
    check("ether 00-01-02-0a-0b-0c", &["ether", "00-01-02-0a-0b-0c"]);
    check("portrange 1-3", &["portrange", "1-3"]);
    check("icmp-echo -1", &["icmp-echo", "-", "1"]);
    check("len- 1", &["len", "-", "1"]);
    check(r"ip proto \tcp)", &["ip", "proto", r"\tcp", ")"]);
    check("0xFf", &["0xFf"]);
    check("host ü$", &["host", "ü", "$"]);
    check("", &[]);
}

#[test]
fn without_a_position_there_is_none() {
    let nothing = |_: &str| Probe::Refused("syntax error".to_owned());
    assert_eq!(locate("tcp and and", "syntax error", nothing), None);
    let everything = |_: &str| Probe::Taken;
    assert_eq!(locate("tcp and and", "syntax error", everything), None);
}

#[test]
fn a_name_that_occurs_once_is_found_without_a_probe() {
    let unasked = |text: &str| -> Probe { panic!("{text}") };
    let message = "unknown host 'web'";
    assert_eq!(locate("not host web", message, unasked), Some(9..12));
    assert_eq!(locate(r"not host \web", message, unasked), Some(10..13));
}
