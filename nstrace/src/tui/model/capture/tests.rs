//! Keys in; what is asked, ordered and shown out.

use super::*;
use crate::tui::model::{
    Message,
    tests::{key_of, options, press, row, snapshot, type_keys},
};

fn model() -> Model {
    let mut model = Model::new(options());
    let rows = vec![row("shop/web", 7, 2000), row("db", 8, 1000)];
    assert_eq!(model.update(Message::Snapshot(snapshot(rows))), None);
    model.selected = Some(key_of(7));
    model
}

fn status(model: &mut Model, status: CaptureStatus) {
    assert_eq!(model.update(Message::Capture(status)), None);
}

fn running() -> CaptureStatus {
    CaptureStatus::Running {
        name: "shop/web".to_owned(),
        captured: 3,
        dropped: 0,
    }
}

#[test]
fn a_capture_of_the_chosen_row_is_ordered_with_file_and_filter() {
    let mut model = model();
    type_keys(&mut model, "c");
    press(&mut model, KeyCode::Backspace);
    type_keys(&mut model, "q");
    press(&mut model, KeyCode::Enter);
    type_keys(&mut model, "tcp port 80");
    let order = CaptureOrder {
        name: "shop/web".to_owned(),
        host_veth: "veth7".to_owned(),
        file: "shop%2Fweb.pcapnq".to_owned(),
        filter: "tcp port 80".to_owned(),
    };
    assert_eq!(
        press(&mut model, KeyCode::Enter),
        Some(Effect::StartCapture(order))
    );
    // It stays open until the capture runs.
    assert!(model.form.is_some());
    status(&mut model, running());
    assert_eq!(model.form, None);
    assert_eq!(model.capture, Some(running()));
}

#[test]
fn what_is_refused_is_said_and_can_be_changed() {
    let mut model = model();
    type_keys(&mut model, "c");
    status(&mut model, CaptureStatus::Refused(vec!["no".to_owned()]));
    let form = model.form.as_ref().expect("still open");
    assert_eq!(form.error, ["no"]);
    press(&mut model, KeyCode::Tab);
    type_keys(&mut model, "arp");
    assert!(matches!(
        press(&mut model, KeyCode::Enter),
        Some(Effect::StartCapture(order)) if order.filter == "arp"
    ));
    assert_eq!(model.form.expect("open").error, [""; 0]);
}

#[test]
fn c_ends_what_runs_and_its_end_is_shown_until_a_key_is_pressed() {
    let mut model = model();
    status(&mut model, running());
    assert_eq!(
        press(&mut model, KeyCode::Char('c')),
        Some(Effect::StopCapture)
    );
    let ended = CaptureStatus::Ended("done".to_owned());
    status(&mut model, ended.clone());
    assert_eq!(model.capture, Some(ended));
    type_keys(&mut model, "t");
    assert_eq!(model.capture, None);
}

#[test]
fn escape_gives_up_and_control_c_quits() {
    let mut model = model();
    type_keys(&mut model, "c");
    press(&mut model, KeyCode::Esc);
    assert_eq!(model.form, None);
    type_keys(&mut model, "c");
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(model.update(Message::Key(control_c)), Some(Effect::Quit));
}

#[test]
fn where_nothing_is_shown_there_is_nothing_to_capture() {
    let mut model = Model::new(options());
    type_keys(&mut model, "c");
    assert_eq!(model.form, None);
}
