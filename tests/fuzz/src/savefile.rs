//! Bytes as a capture file.

use nstrace::savefile::{Item, Reader};

/// Reads all there is, and looks at all of it.
pub(crate) fn read(data: &[u8]) {
    let Ok(mut reader) = Reader::new(data) else {
        return;
    };
    let mut interfaces = 0;
    while let Some(item) = reader.next_item() {
        match item {
            Ok(Item::Interface(_)) => interfaces += 1,
            Ok(Item::Packet(packet)) => {
                assert!(packet.iface < interfaces, "it is of an interface before it");
                assert!(packet.data.len() <= data.len() + TAG);
            }
            Ok(Item::Names(_)) => {}
            Ok(Item::Statistics(statistics)) => assert!(statistics.iface < interfaces),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assert!(reader.next_item().is_none(), "an error is the end");
                return;
            }
        }
    }
}

/// What a cooked packet's VLAN tag may add to its bytes.
const TAG: usize = 4;
