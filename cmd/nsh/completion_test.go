package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCompletionScripts drives the scripts of the other shells with what is typed,
// on an engine with a container.
func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	env := bundled(t)
	image(t, env)
	run(t, env, "nsh", "create", "--name", "web", "busybox:1", "true")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "settings.env"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "bin")
	if err := os.Mkdir(link, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(repository(t), "bin/nsh"), filepath.Join(link, "docker")); err != nil {
		t.Fatal(err)
	}
	for i, kv := range env {
		if p, ok := strings.CutPrefix(kv, "PATH="); ok {
			env[i] = "PATH=" + link + ":" + p
		}
	}
	sh := func(program string, args ...string) string {
		t.Helper()
		cmd := exec.Command(program, args...)
		cmd.Env, cmd.Dir = env, dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", program, err, out)
		}
		return strings.TrimRight(string(out), "\n")
	}

	t.Run("bash", func(t *testing.T) {
		// The words are cut as bash does it, at = and : as well.
		script := `source <(nsh completion bash)
compopt() { opts+=" $2"; }
while IFS= read -r COMP_LINE; do
    COMP_POINT=${#COMP_LINE} COMP_TYPE=9 opts=
    [[ $COMP_LINE == *'?' ]] && COMP_LINE=${COMP_LINE%'?'} COMP_POINT=${#COMP_LINE} COMP_TYPE=63
    mapfile -t COMP_WORDS < <(sed 's/[[:blank:]]\+/\n/g; s/[=:]/\n&\n/g' <<<"$COMP_LINE" | sed '$!{/^$/d}')
    [[ $COMP_LINE == *[=:] ]] && unset 'COMP_WORDS[-1]'
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    __nsh_complete
    (IFS='|'; echo "$COMP_LINE> ${COMPREPLY[*]}$opts")
done
complete -p docker nsh
`
		cmd := exec.Command("bash", "--norc", "-c", script)
		cmd.Env, cmd.Dir = env, dir
		cmd.Stdin = strings.NewReader(`nsh sto
docker stop -
nsh rm w
nsh run --pu
nsh run --pull=
nsh run --pull=al
nsh run --network container:
nsh run --network=co
nsh rmi busybox:
nsh run --env-file s
nsh run --env-file=s
nsh image l?
docker nothing
docker --names
nsh completion f
`)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if got := string(out); got != bashWant {
			t.Errorf("got\n%s\nwant\n%s", got, bashWant)
		}
	})
	t.Run("fish", func(t *testing.T) {
		for _, tt := range []struct{ line, want string }{
			{"nsh sto", "stop\tStop one or more running containers"},
			{"docker rm w", "web\tCreated, busybox:1"},
			{"nsh run --pull=", "--pull=always\tpull each time\n--pull=missing\tpull when it is not here\n--pull=never\tdo not pull"},
			{"nsh run --env-file s", "settings.env"},
			{"nsh run --env-file=s", "--env-file=settings.env"},
		} {
			if got := sh("fish", "--no-config", "-c", fmt.Sprintf("nsh completion fish | source; complete -C %q", tt.line)); got != tt.want {
				t.Errorf("%s\ngot  %q\nwant %q", tt.line, got, tt.want)
			}
		}
	})
	t.Run("zsh", func(t *testing.T) {
		p := &pane{T: t, socket: fmt.Sprintf("nsh-test-%d-zsh", os.Getpid())}
		args := append([]string{"-f", "/dev/null", "new-session", "-d", "-c", dir, "-x", "100", "-y", "30", "env", "-i", "TERM=screen", "PS1=% "}, env...)
		p.tmux(append(args, "zsh", "-f")...)
		t.Cleanup(func() { _ = exec.Command("tmux", "-L", p.socket, "kill-server").Run() })
		p.types("autoload -U compinit && compinit -D -u && source <(nsh completion zsh) && PS1='$ ' && clear")
		p.shows("$")
		for _, tt := range []struct{ typed, want string }{
			{"nsh sto", "$ nsh stop"},
			{"docker rm w", "$ docker rm web"},
			{"nsh run --pull=al", "$ nsh run --pull=always"},
			{"nsh rmi busybox:", "$ nsh rmi busybox:1"},
			{"nsh run --env-file s", "$ nsh run --env-file settings.env"},
			{"nsh run --env-file=s", "$ nsh run --env-file=settings.env"},
		} {
			p.tmux("send-keys", "-l", tt.typed)
			p.key("Tab")
			p.shows(tt.want)
			p.key("C-u")
			p.shows("$")
		}
		p.tmux("send-keys", "-l", "nsh image l")
		p.key("Tab")
		p.shows("list  ls  -- List images", "load      -- Load an image from a tar archive or STDIN")
	})
}

const bashWant = `nsh sto> stop
docker stop -> --help|--signal|--timeout|-s|-t
nsh rm w> web
nsh run --pu> --publish|--publish-all|--pull
nsh run --pull=> always|missing|never
nsh run --pull=al> always
nsh run --network container:> 
nsh run --network=co> container: nospace
nsh rmi busybox:> 1
nsh run --env-file s> settings.env filenames
nsh run --env-file=s> settings.env filenames
nsh image l> list  (List images)|load  (Load an image from a tar archive or STDIN)|ls    (List images)
docker nothing> 
docker --names> 
nsh completion f> fish
complete -F __nsh_complete docker
complete -F __nsh_complete nsh
`
