//! `scripts/vm/run` itself.

use crate::machine::boot;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn output_status_and_files_come_back() {
    let place = tempfile::tempdir().unwrap();
    let added = place.path().join("added");
    std::fs::write(&added, [0, 255, 10, 13]).unwrap();
    let (add, bring) = (
        format!("{}:/data/", added.display()),
        format!("/out:{}", place.path().join("out").display()),
    );
    let script = "#!/bin/sh\n\
        echo \"to stdout: $(id -u) $#\"\n\
        echo 'to stderr' >/dev/stderr\n\
        mkdir -p /out/folder && cp /data/added /out/folder/\n\
        head -c 3000000 /dev/urandom >/out/random && sha256sum </out/random >/out/sum\n\
        sleep 1000 &\n\
        exit 7\n";
    let Some(output) = boot(&["--add", &add, "--bring", &bring], script) else {
        return;
    };
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert_eq!(text(&output.stdout), "to stdout: 0 0\n", "nothing else gets into it");
    assert_eq!(text(&output.stderr), "to stderr\n");
    let out = place.path().join("out");
    assert_eq!(std::fs::read(out.join("folder/added")).unwrap(), [0, 255, 10, 13]);
    let sum = std::process::Command::new("sha256sum")
        .stdin(std::fs::File::open(out.join("random")).unwrap())
        .output()
        .unwrap();
    assert_eq!(text(&sum.stdout), std::fs::read_to_string(out.join("sum")).unwrap());
}

#[test]
fn a_kernel_without_virtio_console_uses_serial_lines() {
    let place = tempfile::tempdir().unwrap();
    let bring = format!("/out:{}", place.path().display());
    let options = ["--bring", &bring, "--append", "initcall_blacklist=virtio_console_init"];
    let script = "#!/bin/sh\n\
        ls /dev/vport* 2>/dev/null\n\
        echo 'by line'\n\
        mkdir /out && printf '\\0\\1\\n\\r\\377' >/out/bytes\n";
    let Some(output) = boot(&options, script) else {
        return;
    };
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(text(&output.stdout), "by line\n");
    assert_eq!(std::fs::read(place.path().join("bytes")).unwrap(), b"\0\x01\n\r\xff");
}

#[test]
fn a_panic_is_told_from_a_failure_of_the_script() {
    // What is printed in the very moment of a panic may be lost: it is on its way through a pipe and the port's queue.
    let script = "#!/bin/sh\necho before\nsleep 5\necho c >/proc/sysrq-trigger\nsleep 60\n";
    let Some(output) = boot(&[], script) else {
        return;
    };
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    assert_eq!(text(&output.stdout), "before\n");
    let said = text(&output.stderr);
    assert!(said.contains("Kernel panic - not syncing: sysrq triggered crash"), "{said}");
    assert!(said.contains("the machine ended before the script did"), "{said}");
}

#[test]
fn running_out_of_time_shows_the_kernels_messages() {
    // On a busy host the kernel may not have got to its first message in ten seconds.
    for seconds in ["10", "40", "160"] {
        let options = ["--timeout", seconds, "--append", "loglevel=7"];
        let Some(output) = boot(&options, "#!/bin/sh\nsleep 1000\n") else {
            return;
        };
        assert_eq!(output.status.code(), Some(124), "{output:?}");
        let said = text(&output.stderr);
        assert!(said.contains(&format!("the script had not ended after {seconds} s")), "{said}");
        if said.lines().any(|line| line.starts_with("[    ")) {
            return;
        }
    }
    panic!("the kernel's messages were not shown");
}
