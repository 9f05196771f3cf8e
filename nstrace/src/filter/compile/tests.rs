use super::*;

fn library() -> Library {
    Library::open().expect("libpcap: cargo xtask setup")
}

fn refused(expression: &str, source: Source) -> BadExpression {
    match compile(&library(), LinkType::ETHERNET, 262_144, expression, source) {
        Err(CompileError::Expression(bad)) => bad,
        other => panic!("{expression}: {other:?}"),
    }
}

/// The expression has the wrong place in `« »`; without, no place is to be found.
#[track_caller]
fn check(marked: &str, message: &str) {
    let expression = marked.replace("«", "").replace("»", "");
    let start = marked.find("«");
    let at = start.map(|start| start..marked.find("»").expect("an end") - "«".len());
    let bad = refused(&expression, Source::Iface);
    assert_eq!(bad.at, at, "{marked}: {bad}");
    assert!(bad.message.contains(message), "{marked}: {bad}");
}

#[test]
fn what_does_not_fit_is_marked() {
    let syntax = "syntax error";
    check("tcp «prot» 80", syntax);
    check("tcp port 80 or «or» udp", syntax);
    check("«and» tcp", syntax);
    check("tcp«)»", syntax);
    check("tcp «@» 3", syntax);
    check("tcp «&» udp", syntax);
    check("tcp «udp»", syntax);
    check("tcp «not»", syntax);
    check("host «$»", syntax);
    check("«ü» and tcp", syntax);
    check("tcp and\nport 80 «port» 90", syntax);
    check("net 192.0.2.0 mask «5»", syntax);
    check("src «dst» host 192.0.2.1", syntax);
    check("(tcp or udp) and ((port 1) «port» 2)", syntax);
    check("ip6[0] «foo»", syntax);
    check("tcp[«0:3:»] = 1", "bogus ethernet address");
}

#[test]
fn what_is_missing_is_missing_at_the_end() {
    let syntax = "syntax error";
    check("tcp port«»", syntax);
    check("(tcp«»", syntax);
    check("tcp and«»", syntax);
    check("tcp[«»", syntax);
    check("not«»", syntax);
    check("less «»", syntax);
    check("ip[0] ==«»", syntax);
}

#[test]
fn a_name_that_nobody_knows_is_marked() {
    check("port «nosuchport»", "unknown port");
    check("tcp and port «nosuchport» or udp", "unknown port");
    check("ip proto «nosuch» and tcp", "unknown ip proto");
    check(r"ether proto \«nosuch»", "unknown ether proto");
    check("portrange «a-b»", "unknown port in range");
    check("llc «foo»", "unknown LLC type");
    check("iso proto «foo»", "unknown osi proto");
    check("host «192.0.2.999»", "invalid IPv4 address");
    check("net «192.0.2.4/8»", "non-network bits");
}

#[test]
fn of_a_word_twice_the_one_that_libpcap_stumbles_over_is_marked() {
    check("arp and tcp port 80 and «nonsense»", "unknown port");
    check("tcp port 80 and arp and «nonsense»", "syntax error");
    check("udp port 53 or arp «port» 80", "illegal qualifier");
    check("arp or «tcp proto» 6 or tcp proto 7", "bogus");
}

#[test]
fn a_value_out_of_its_range_is_marked() {
    check("port «99999»", "illegal port number");
    check("port «99999» and tcp", "illegal port number");
    check("(port «0x10000») or udp", "illegal port number");
    check("net 192.0.2.4/«33»", "mask length");
    check("net 2001:db8::/«129» or arp", "mask length");
    check("vlan «5000»", "VLAN tag");
    check("mpls «9999999» and ip", "MPLS label");
    check("pppoes «70000»", "PPPoE session");
    check("geneve «99999999»", "Geneve VNI");
    check("ether[«5000000000»]=1", "overflows");
    check("len > 10 / «0»", "division by zero");
    check("tcp[0:«3»] = 1", "data size");
    check("«99999999999»", "overflows");
}

#[test]
fn what_this_link_type_has_not_is_marked() {
    check("tcp or «lane»", "raw ATM");
    check("wlan «ra» 1:2:3:4:5:6", "802.11");
    check("ether host «192.0.2.1»", "illegal link layer");
    check("«ip» host 2001:db8::1", "modifier applied");
    check("«ip broadcast»", "netmask not known");
    check("«gateway» foo", "not supported");
}

#[test]
fn what_is_wrong_with_the_whole_has_no_place() {
    check("tcp and udp", "rejects all packets");
}

#[test]
fn a_nul_is_no_end() {
    check("tcp«\0» or udp", "NUL");
}

#[test]
fn a_file_knows_no_direction() {
    for (expression, at) in [("inbound", 0..7), ("tcp and outbound", 8..16)] {
        let bad = refused(expression, Source::File);
        assert_eq!(bad.at, Some(at), "{expression}: {bad}");
        let source = Source::Iface;
        let taken = compile(&library(), LinkType::ETHERNET, 96, expression, source);
        assert!(taken.is_ok(), "{expression}: {taken:?}");
    }
}

#[test]
fn carets_stand_under_what_is_shown() {
    let bad = |expression: &str, at: Range<usize>| BadExpression {
        expression: expression.to_owned(),
        message: String::new(),
        at: Some(at),
    };
    let shown = bad("tcp prot 80", 4..8).caret();
    assert_eq!(shown, Some(["tcp prot 80".into(), "    ^^^^".into()]));
    let shown = bad("a\x1b網 b", 6..7).caret();
    assert_eq!(shown, Some([r"a\x1b網 b".into(), "        ^".into()]));
    let shown = bad("tcp\nor", 6..6).caret();
    assert_eq!(shown, Some([r"tcp\x0aor".into(), "         ^".into()]));
}

#[test]
fn instructions_are_those_that_tcpdump_shows() {
    let library = library();
    let compiled = compile(&library, LinkType::ETHERNET, 96, "ip", Source::File);
    let instructions = compiled.expect("an expression");
    let listing: Vec<String> = super::super::classic::listing(&library, &instructions).collect();
    assert_eq!(
        listing,
        [
            "(000) ldh      [12]",
            "(001) jeq      #0x800           jt 2\tjf 3",
            "(002) ret      #96",
            "(003) ret      #0",
        ]
    );
}

#[test]
fn no_snaplen_is_the_largest() {
    let library = library();
    for (snaplen, returned) in [(0, 262_144), (1, 1), (262_144, 262_144)] {
        let compiled = compile(&library, LinkType::ETHERNET, snaplen, "", Source::Iface);
        let [only] = compiled.expect("an expression")[..] else {
            panic!("more than one instruction");
        };
        assert_eq!(only.k, returned);
    }
}

#[test]
fn link_types_differ_in_their_code() {
    let library = library();
    let first = |link_type| {
        let compiled = compile(&library, link_type, 96, "ip", Source::File);
        compiled.expect("an expression")[0]
    };
    // Version of the header; the protocol in either cooked header.
    assert_eq!(
        library.image(&first(LinkType::RAW), 0),
        "(000) ldb      [0]"
    );
    assert_eq!(
        library.image(&first(LinkType::LINUX_SLL), 0),
        "(000) ldh      [14]"
    );
    assert_eq!(
        library.image(&first(LinkType::LINUX_SLL2), 0),
        "(000) ldh      [0]"
    );
}

#[test]
fn a_link_type_that_libpcap_cannot_compile_for_is_said_so() {
    let compiled = compile(&library(), LinkType(999), 96, "ip", Source::File);
    assert!(compiled.is_err(), "{compiled:?}");
}

#[test]
fn libpcap_decides_on_bytes() {
    let library = library();
    let compiled = compile(
        &library,
        LinkType::ETHERNET,
        96,
        "ip and greater 60",
        Source::File,
    );
    let program = library.program(compiled.expect("an expression"));
    let program = program.expect("what libpcap made is valid");
    let mut packet = [0; 60];
    packet[12] = 8;
    assert!(program.matches(&packet, 60));
    assert!(program.matches(&packet[..14], 60));
    assert!(!program.matches(&packet[..13], 60));
    assert!(!program.matches(&packet, 59));
    packet[13] = 6;
    assert!(!program.matches(&packet, 60));
}

#[test]
fn what_could_run_off_its_end_is_no_program() {
    let jump = Instruction {
        code: 0x05,
        jt: 0,
        jf: 0,
        k: 1000,
    };
    let end = Instruction {
        code: 0x06,
        k: 0,
        ..jump
    };
    assert!(library().program(vec![]).is_none());
    assert!(library().program(vec![jump, end]).is_none());
    assert!(library().program(vec![end]).is_some());
}
