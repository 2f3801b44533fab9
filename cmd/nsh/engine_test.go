package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// repository is where make has put bin and libexec.
func repository(t testing.TB) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"bin/nsh", "libexec/nsh-engine", "libexec/nsh-helper", ".cache/web"} {
		if _, err := os.Stat(filepath.Join(root, p)); err != nil {
			t.Fatalf("%v: `make test` builds what the tests run", err)
		}
	}
	return root
}

// bundled gives an engine of the tests' own, which ends with the test, and a
// function that runs nsh on it in a namespace.
func bundled(t *testing.T) (env []string) {
	t.Helper()
	root := repository(t)
	// Not t.TempDir: a socket's path is short.
	dir, err := os.MkdirTemp("", "nsh")
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "nerdctl.toml")
	if err := os.WriteFile(config, []byte(fmt.Sprintf("data_root = %q\n", filepath.Join(dir, "data"))), 0o600); err != nil {
		t.Fatal(err)
	}
	env = []string{"NSH_ROOT=" + dir, "NSH_LIBEXEC=" + filepath.Join(root, "libexec"), "NERDCTL_TOML=" + config, "REPO=" + root,
		"PATH=" + filepath.Join(root, "bin") + ":" + os.Getenv("PATH") + ":/usr/sbin:/sbin", "HOME=" + dir, "NO_COLOR=1"}
	t.Cleanup(func() {
		run(t, env, "nsh", "engine", "stop")
		mounts, _ := os.ReadFile("/proc/self/mounts")
		if strings.Contains(string(mounts), dir) {
			t.Errorf("mounts are left below %s", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	run(t, env, "nsh", "engine", "start")
	return env
}

func run(t testing.TB, env []string, words ...string) string {
	t.Helper()
	var path string
	for _, kv := range env {
		if p, ok := strings.CutPrefix(kv, "REPO="); ok {
			path = filepath.Join(p, "bin", words[0])
		}
	}
	cmd := exec.Command(path, words[1:]...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", strings.Join(words, " "), err, out)
	}
	return string(out)
}

// TestEngine runs the scripts of testdata/engine on a real containerd, side by
// side, each in a namespace of its own that has one image, busybox:1.
func TestEngine(t *testing.T) {
	t.Parallel()
	env := bundled(t)
	// The parallel subtests end before the cleanup of this test.
	t.Run("scripts", func(t *testing.T) {
		testscript.Run(t, testscript.Params{
			Dir:           "testdata/engine",
			UpdateScripts: os.Getenv("UPDATE") != "",
			Setup: func(e *testscript.Env) error {
				e.Vars = append(e.Vars, env...)
				ns := fmt.Sprintf("t%x", sha256.Sum256([]byte(e.WorkDir)))[:12]
				e.Setenv("CONTAINERD_NAMESPACE", ns)
				e.Setenv("NS", ns)
				all := append(append([]string(nil), env...), "CONTAINERD_NAMESPACE="+ns)
				run(t, all, "nsh", "image", "assemble", "busybox:1", "--file", "/bin/busybox:/bin/busybox", "--file", filepath.Join(e.Getenv("REPO"), ".cache/web")+":/bin/web",
					"--env", "PATH=/bin", "--cmd", "sh", "--base", "")
				e.Defer(func() {
					cmd := exec.Command(filepath.Join(e.Getenv("REPO"), "bin/nsh"), "-c", "rm -f $(ps -aq) ; network prune -f ; volume prune -af ; rmi -f busybox:1")
					cmd.Env = all
					_, _ = cmd.CombinedOutput()
					if strings.Contains(e.WorkDir, "networks") {
						_ = exec.Command("ip", "link", "del", "nshmacvlan0").Run()
					}
				})
				return nil
			},
			Cmds: map[string]func(*testscript.TestScript, bool, []string){
				// code N WORDS: the command ends with status N
				"code": func(ts *testscript.TestScript, neg bool, args []string) {
					err := ts.Exec(args[1], args[2:]...)
					got := 0
					if err != nil {
						got = -1
						if ee, ok := err.(*exec.ExitError); ok {
							got = ee.ExitCode()
						}
					}
					if fmt.Sprint(got) != args[0] {
						ts.Fatalf("exit status %d, want %s", got, args[0])
					}
				},
			},
		})
	})
}
