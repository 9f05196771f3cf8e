//! One namespace: who it is, its interfaces and addresses, and what its traffic consists of.

use nstrace_ebpf::wire::{Class, Direction};
use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
};

use super::{ViewState, draw_text};
use crate::{
    sink::top::class_name,
    state::{IfaceKey, RowState, snapshot::RowSnapshot},
    topology::model::{Iface, Netns, NetnsInode, Watch},
    tui::{model::Model, theme::Theme},
    units,
    untrusted::escape,
};

pub(super) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    model: &Model,
    theme: Theme,
    key: IfaceKey,
    state: &mut ViewState,
) {
    let Some(row) = model.details_of(key) else {
        return;
    };
    let mut lines = identity(&row.labels.netns, theme);
    if row.generation > 1 {
        let before = row.generation - 1;
        lines.push(Line::raw(format!(
            "generation {}: there were {before} of its name before, since this watch began",
            row.generation
        )));
    }
    lines.push(Line::default());
    for iface in &row.labels.netns.interfaces {
        lines.extend(interface(iface, theme));
    }
    lines.push(Line::default());
    lines.extend(traffic(row, model, theme));
    draw_text(frame, area, lines, model.scroll, state);
}

fn identity(netns: &Netns, theme: Theme) -> Vec<Line<'static>> {
    let mut first = vec![
        Span::styled(escape(&netns.name), theme.title()),
        Span::raw(format!("  {}", netns.kind)),
    ];
    if let Some(NetnsInode(inode)) = netns.identity.inode() {
        first.push(Span::raw(format!("  inode {inode}")));
    }
    if let Some(nsid) = netns.nsid {
        first.push(Span::raw(format!("  nsid {}", nsid.0)));
    }
    if let Some(pid) = netns.first_pid() {
        first.push(Span::raw(match netns.pids.len() {
            0 | 1 => format!("  pid {pid}"),
            count => format!("  pid {pid} and {} more", count - 1),
        }));
    }
    let mut lines = vec![Line::from(first)];
    for container in &netns.containers {
        let image = match container.image.as_str() {
            "" => String::new(),
            image => format!("  image {}", escape(image)),
        };
        let name = if container.name == netns.name {
            String::new()
        } else {
            format!(" {}", escape(&container.name))
        };
        lines.push(Line::raw(format!(
            "{} {}{name}{image}",
            container.runtime,
            escape(&container.short_id()),
        )));
    }
    for path in &netns.paths {
        lines.push(Line::raw(escape(&path.to_string_lossy())));
    }
    lines
}

fn interface(iface: &Iface, theme: Theme) -> Vec<Line<'static>> {
    let link = &iface.link;
    let mut first = vec![
        Span::styled(escape(&link.name), theme.title()),
        Span::raw(format!(
            "  {}  {}  mtu {}",
            escape(&link.kind),
            link.state,
            link.mtu
        )),
    ];
    if let Some(mac) = &link.mac {
        first.push(Span::raw(format!("  {mac}")));
    }
    let mut lines = vec![Line::from(first)];
    if !link.addresses.is_empty() {
        lines.push(Line::raw(format!("  {}", link.addresses.join("  "))));
    }
    match (&iface.watch, &iface.peer) {
        (Watch::HostVeth, Some(peer)) => {
            let master = peer
                .master
                .as_deref()
                .map_or_else(String::new, |master| format!(" in {}", escape(master)));
            lines.push(Line::raw(format!(
                "  watched at the host's {}{master}",
                escape(&peer.name)
            )));
        }
        (Watch::No(why), _) => {
            lines.push(Line::styled(
                format!("  not watched: {}", escape(why)),
                theme.faded(),
            ));
        }
        (Watch::HostVeth, None) => {}
    }
    lines
}

/// Rates, then classes that have seen a packet.
fn traffic(row: &RowSnapshot, model: &Model, theme: Theme) -> Vec<Line<'static>> {
    let title = match &row.state {
        RowState::Attached(..) => format!("Traffic of {}", escape(row.interface())),
        RowState::Pending => "Not attached yet".to_owned(),
        RowState::Failed(why) => format!("Not attached: {}", escape(why)),
        RowState::Gone { .. } => format!("Traffic of {}, which is gone", escape(row.interface())),
    };
    let mut lines = vec![Line::styled(title, theme.title())];
    for (name, direction, style) in [
        ("RX", Direction::Rx, theme.rx()),
        ("TX", Direction::Tx, theme.tx()),
    ] {
        let (rate, total) = (row.rate(direction), row.total(direction));
        lines.push(Line::styled(
            format!(
                "  {name} {:>7}/s  peak {:>7}/s  {:>5} pkt/s  total {:>7} in {} packets",
                model.units.rate(rate.bps),
                model.units.rate(rate.peak_bps),
                units::scaled(rate.pps),
                units::bytes(total.bytes),
                total.packets
            ),
            style,
        ));
        let counts = row.counts(direction);
        lines.push(Line::styled(
            format!(
                "     {:>7}/s on a wire      {:>5} pkt/s  total {:>7} in {} packets",
                model.units.rate(rate.wire_bps),
                units::scaled(rate.wire_pps),
                units::bytes(counts.wire_bytes),
                counts.wire_packets
            ),
            style,
        ));
    }
    lines.push(Line::raw(format!(
        "  {:<12}{:>14}{:>10}{:>14}{:>10}",
        "class", "RX packets", "RX", "TX packets", "TX"
    )));
    for class in Class::ALL {
        let [rx, tx] = row.totals.classes.map(|classes| classes[class as usize]);
        if rx.packets + tx.packets > 0 {
            lines.push(Line::raw(format!(
                "  {:<12}{:>14}{:>10}{:>14}{:>10}",
                class_name(class),
                rx.packets,
                units::bytes(rx.bytes),
                tx.packets,
                units::bytes(tx.bytes)
            )));
        }
    }
    lines
}
