package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// stopGrace is how long requests may take to end once the controller is told to stop; a supervisor waits 7 s.
	stopGrace = 5 * time.Second
	// killGrace is what comes between SIGTERM and SIGKILL.
	killGrace = time.Second
	// takeOverTimeout bounds the start of nginx and a reload; both take a fraction of a second.
	takeOverTimeout = 10 * time.Second
	pollInterval    = 10 * time.Millisecond
)

// nginx runs the one nginx of this node as a child process, in a process group of its own.
type nginx struct {
	binary string
	at     place
	// current is the configuration that runs.
	current []byte
	// main is the process id of nginx's main process, 0 before its start.
	main int
	// exited gets the main process's end, and is closed then.
	exited chan error
}

func newNginx(binary string, at place) *nginx {
	return &nginx{binary: binary, at: at, exited: make(chan error, 1)}
}

// apply brings nginx to a configuration and returns once no worker of another one takes requests. A configuration that
// nginx refuses is an error, and the one that runs stays.
func (n *nginx) apply(config []byte, certificates []*certificate) error {
	if n.main != 0 && bytes.Equal(config, n.current) {
		return nil
	}
	// nginx's workers, which are not root, reach their temporary files in the one folder, and nothing in the other.
	secrets := n.at.Dir + "/certificates"
	if err := errors.Join(os.MkdirAll(n.at.Dir, 0o755), os.MkdirAll(secrets, 0o700)); err != nil {
		return err
	}
	files := make([]string, len(certificates))
	for i, each := range certificates {
		files[i] = n.at.CertificateFile(each)
		if err := writeFile(files[i], each.pem, 0o600); err != nil {
			return err
		}
	}
	live, candidate := n.at.Dir+"/nginx.conf", n.at.Dir+"/nginx.conf.candidate"
	if err := writeFile(candidate, config, 0o644); err != nil {
		return err
	}
	test := n.command("-t", "-q", "-c", candidate)
	if output, err := test.CombinedOutput(); err != nil {
		return fmt.Errorf("nginx refuses %s: %w: %s", candidate, err, bytes.TrimSpace(output))
	}
	if err := os.Rename(candidate, live); err != nil {
		return err
	}
	take := n.reload
	if n.main == 0 {
		take = n.start
	}
	if err := take(live); err != nil {
		return err
	}
	n.current = config
	return removeOthers(secrets, files)
}

func (n *nginx) command(arguments ...string) *exec.Cmd {
	command := exec.Command(n.binary, append([]string{"-e", "stderr"}, arguments...)...)
	// It needs no environment, and takes a variable NGINX that it finds for sockets to go on with.
	command.Env = []string{}
	return command
}

func (n *nginx) start(config string) error {
	n.endLeftovers()
	command := n.command("-c", config)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	// If the controller is killed, nginx goes too: its ports must be free for the next one.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	started := make(chan error, 1)
	go func() {
		// The kernel sends Pdeathsig when the thread ends that started the process, so the thread is kept.
		runtime.LockOSThread()
		err := command.Start()
		started <- err
		if err == nil {
			n.exited <- command.Wait()
			close(n.exited)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	n.main = command.Process.Pid
	// nginx listens before it starts its workers.
	return n.await("start its workers", func() bool { return len(n.workers()) == n.at.Workers() })
}

// reload makes nginx start workers with the new configuration and tell the old ones to take no more requests, to end
// those that they have, and to exit.
func (n *nginx) reload(string) error {
	old := n.workers()
	if err := syscall.Kill(n.main, syscall.SIGHUP); err != nil {
		return fmt.Errorf("signal nginx: %w", err)
	}
	return n.await("take its new configuration", func() bool {
		old = slices.DeleteFunc(old, func(pid int) bool { return !isWorker(title(pid)) })
		return len(old) == 0
	})
}

func (n *nginx) await(what string, done func() bool) error {
	for deadline := time.Now().Add(takeOverTimeout); !done(); time.Sleep(pollInterval) {
		if title(n.main) == "" {
			return errors.New("nginx ended")
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("nginx did not %s within %s", what, takeOverTimeout)
		}
	}
	return nil
}

// stop lets running requests end for a while, and leaves no process behind.
func (n *nginx) stop() {
	if n.main == 0 {
		return
	}
	_ = syscall.Kill(n.main, syscall.SIGQUIT)
	select {
	case <-n.exited:
	case <-time.After(stopGrace):
	}
	endGroup(n.main)
}

// endLeftovers ends what an earlier controller left: workers outlive a main process that was killed, and hold the ports.
func (n *nginx) endLeftovers() {
	if content, err := os.ReadFile(n.at.PIDFile()); err == nil {
		if pid, err := strconv.Atoi(string(bytes.TrimSpace(content))); err == nil && pid > 1 {
			endGroup(pid)
		}
		_ = os.Remove(n.at.PIDFile())
	}
}

// workers gives the processes that take requests with the newest configuration.
func (n *nginx) workers() []int {
	return slices.DeleteFunc(group(n.main), func(pid int) bool { return !isWorker(title(pid)) })
}

// endGroup ends all nginx processes of a process group, whose id is that of the main process.
func endGroup(id int) {
	signal := syscall.SIGTERM
	for deadline := time.Now().Add(killGrace); ; time.Sleep(pollInterval) {
		left := group(id)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			signal = syscall.SIGKILL
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, signal)
		}
	}
}

// group gives the nginx processes of a process group. The name matters: an id from a file may be somebody else's by now.
func group(id int) []int {
	var pids []int
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if of, err := syscall.Getpgid(pid); err == nil && of == id && strings.HasPrefix(title(pid), "nginx: ") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// title is what a process calls itself, "" once it ended. nginx's tell what they do.
func title(pid int) string {
	content, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return string(bytes.TrimRight(content, "\x00 "))
}

func isWorker(title string) bool { return title == "nginx: worker process" }

// writeFile writes a file so that it is there as a whole or not at all.
func writeFile(path string, content []byte, mode os.FileMode) error {
	draft := path + ".draft"
	// A draft that was left behind would keep its mode.
	if err := os.Remove(draft); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(draft, content, mode); err != nil {
		return err
	}
	return os.Rename(draft, path)
}

// removeOthers deletes the files of a folder that are not to be kept.
func removeOthers(folder string, keep []string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if path := filepath.Join(folder, entry.Name()); !slices.Contains(keep, path) {
			err = errors.Join(err, os.Remove(path))
		}
	}
	return err
}
