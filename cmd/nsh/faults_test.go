package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// nsh runs a command that may fail and gives what it wrote.
func nsh(env []string, words ...string) (string, error) {
	cmd := exec.Command(filepath.Join(value(env, "REPO"), "bin/nsh"), words...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func value(env []string, key string) string {
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, key+"="); ok {
			return v
		}
	}
	return ""
}

func image(t *testing.T, env []string) {
	t.Helper()
	run(t, env, "nsh", "image", "assemble", "busybox:1", "--file", "/bin/busybox:/bin/busybox", "--env", "PATH=/bin")
}

// TestEngineDies: containers go on without their engine, and the next command
// starts it again and sees them.
func TestEngineDies(t *testing.T) {
	t.Parallel()
	env := bundled(t)
	image(t, env)
	run(t, env, "nsh", "run", "-d", "--name", "survivor", "--network", "none", "busybox:1", "busybox", "sh", "-c", "while true; do echo alive; busybox sleep 0.1; done")
	pid := func() int {
		n, err := strconv.Atoi(strings.TrimSpace(run(t, env, "nsh", "engine", "status", "--format", "{{.Pid}}")))
		if err != nil || n < 2 {
			t.Fatalf("pid %d: %v", n, err)
		}
		return n
	}
	first := pid()
	p, err := os.FindProcess(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	before := run(t, env, "nsh", "engine", "status", "--format", "{{.Running}} {{.Shims}}")
	for n := 0; strings.HasPrefix(before, "true") && n < 100; n++ {
		time.Sleep(10 * time.Millisecond)
		before = run(t, env, "nsh", "engine", "status", "--format", "{{.Running}} {{.Shims}}")
	}
	if before != "false 1\n" {
		t.Errorf("after the engine's death: %q, want %q", before, "false 1\n")
	}
	// All of these start it, or wait for the one that does.
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if out, err := nsh(env, "ps", "--format", "{{.Names}} {{.State}}"); err != nil || !strings.HasSuffix(out, "survivor running\n") {
				t.Errorf("ps: %v\n%s", err, out)
			}
		}()
	}
	wg.Wait()
	if pid() == first {
		t.Error("the pid is that of the dead engine")
	}
	if out := run(t, env, "nsh", "exec", "survivor", "busybox", "echo", "still here"); out != "still here\n" {
		t.Errorf("exec: %q", out)
	}
	lines := func() int { return strings.Count(run(t, env, "nsh", "logs", "survivor"), "alive") }
	n := lines()
	for end := time.Now().Add(5 * time.Second); lines() <= n; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the log stands still")
		}
	}
	run(t, env, "nsh", "rm", "-f", "survivor")
}

// TestKilled kills nsh at random moments of a run: what it leaves can be listed and
// removed, and after a repair nothing is left.
func TestKilled(t *testing.T) {
	t.Parallel()
	env := bundled(t)
	image(t, env)
	for i := range 20 {
		cmd := exec.Command(filepath.Join(value(env, "REPO"), "bin/nsh"), "run", "--rm", "--name", fmt.Sprintf("killed%d", i), "busybox:1", "busybox", "true")
		cmd.Env = env
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	for id := range strings.FieldsSeq(run(t, env, "nsh", "ps", "-aq")) {
		if out, err := nsh(env, "rm", "-f", id); err != nil && !strings.Contains(out, "No such container") {
			t.Errorf("rm -f %s: %v\n%s", id, err, out)
		}
	}
	// Younger than this, a leftover may belong to a command under way.
	time.Sleep(11 * time.Second)
	out := run(t, env, "nsh", "repair")
	t.Logf("repair: %s", out)
	if again := run(t, env, "nsh", "repair"); again != "nothing to repair\n" {
		t.Errorf("a second repair finds\n%s", again)
	}
	if out := run(t, env, "nsh", "ps", "-aq"); out != "" {
		t.Errorf("left: %s", out)
	}
	left(t, env)
}

// left fails the test for what belongs to no container any more.
func left(t *testing.T, env []string) {
	t.Helper()
	root := value(env, "NSH_ROOT")
	for _, pattern := range []string{"data/*/containers/default/*", "data/*/names/default/*", "data/*/etchosts/default/*"} {
		if m, _ := filepath.Glob(filepath.Join(root, pattern)); len(m) > 0 {
			t.Errorf("left: %s", m)
		}
	}
	if shims := run(t, env, "nsh", "engine", "status", "--format", "{{.Shims}}"); shims != "0\n" {
		t.Errorf("shims are left: %s", shims)
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	if strings.Contains(string(mounts), root) {
		t.Error("mounts are left")
	}
}

// TestManyAtOnce: two hundred runs, eight at a time, get two hundred addresses,
// and rm -f takes all of it away.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	env := bundled(t)
	image(t, env)
	const many = 200
	ids := make([]string, many)
	next := make(chan int)
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range next {
				out, err := nsh(env, "run", "-d", "--name", fmt.Sprintf("many%d", i), "busybox:1", "busybox", "sleep", "10000")
				if err != nil {
					t.Errorf("run %d: %v\n%s", i, err, out)
				}
				ids[i] = strings.TrimSpace(out)
			}
		}()
	}
	for i := range many {
		next <- i
	}
	close(next)
	wg.Wait()
	// A name has one holder, also among those that ask for it at the same time.
	taken := make(chan bool, 8)
	for range 8 {
		go func() {
			_, err := nsh(env, "create", "--name", "once", "--network", "none", "busybox:1", "busybox", "true")
			taken <- err == nil
		}()
	}
	holders := 0
	for range 8 {
		if <-taken {
			holders++
		}
	}
	if holders != 1 {
		t.Errorf("%d creations have the same name", holders)
	}
	var all []struct {
		NetworkSettings struct{ IPAddress string }
	}
	if err := json.Unmarshal([]byte(run(t, env, append([]string{"nsh", "inspect"}, ids...)...)), &all); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range all {
		if ip := c.NetworkSettings.IPAddress; ip == "" || seen[ip] {
			t.Errorf("address %q: none, or given twice", ip)
		} else {
			seen[ip] = true
		}
	}
	if len(seen) != many {
		t.Errorf("%d addresses for %d containers", len(seen), many)
	}
	run(t, env, append([]string{"nsh", "rm", "-f", "once"}, ids...)...)
	if out := run(t, env, "nsh", "repair"); out != "nothing to repair\n" {
		t.Errorf("after rm -f there is something to repair:\n%s", out)
	}
	left(t, env)
	for ip := range seen {
		if _, err := os.Stat(filepath.Join("/var/lib/cni/networks/bridge", ip)); err == nil {
			if id, _ := os.ReadFile(filepath.Join("/var/lib/cni/networks/bridge", ip)); !strings.Contains(strings.Join(ids, " "), strings.TrimPrefix(strings.Fields(string(id))[0], "default-")) {
				continue // it has gone to a container of another test since
			}
			t.Errorf("address %s is still taken", ip)
		}
	}
}

// TestDocker: a link called docker is docker.
func TestDocker(t *testing.T) {
	t.Parallel()
	env := bundled(t)
	image(t, env)
	link := filepath.Join(t.TempDir(), "docker")
	if err := os.Symlink(filepath.Join(value(env, "REPO"), "bin/nsh"), link); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		words []string
		out   string
		code  int
	}{
		{[]string{"run", "--rm", "--network", "none", "busybox:1", "busybox", "echo", "hi"}, "hi\n", 0},
		{[]string{"--namespace", "other", "ps", "-q"}, "", 0},
		{[]string{"ps", "-q", "--namespace", "other"}, "", 0},
		{[]string{"nosuch"}, "docker: unknown command: docker nosuch\n\nRun 'docker --help' for more information\n", 1},
		{[]string{"run"}, "docker: 'docker run' requires at least 1 argument\n\nUsage:  docker run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\nSee 'docker run --help' for more information\n", 1},
	} {
		cmd := exec.Command(link, tt.words...)
		cmd.Env = env
		out, _ := cmd.CombinedOutput()
		if string(out) != tt.out || cmd.ProcessState.ExitCode() != tt.code {
			t.Errorf("docker %s: exit status %d\n%swant %d\n%s", strings.Join(tt.words, " "), cmd.ProcessState.ExitCode(), out, tt.code, tt.out)
		}
	}
}
