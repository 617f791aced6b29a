#!/usr/bin/env bash
# A throw-away Slurm of one node on this machine, as root and without systemd: a controller, a node that claims 4 CPUs and
# has 2 GPUs that are no more than device files, three partitions of which `urgent` preempts the others. No accounting.
#   slurm.sh up     packages (Debian's slurm-wlm and munge) if they are missing, configuration in /etc/slurm, daemons;
#                   says `started`, and nothing where one is up
#   slurm.sh down   the daemons of `up`
set -euo pipefail
host=$(hostname -s)

up() {
    if sinfo -h -p urgent -o %T 2>/dev/null | grep -qE 'idle|mix|alloc'; then exit 0; fi # it is up
    if [ "$(id -u)" != 0 ]; then
        echo "only root can start a Slurm" >&2
        exit 1
    fi
    if [ -f /etc/slurm/slurm.conf ] && ! grep -q '^ClusterName=skyloom$' /etc/slurm/slurm.conf; then
        echo "/etc/slurm/slurm.conf is of another cluster: left alone" >&2
        exit 1
    fi
    if ! { command -v slurmctld && command -v slurmd && command -v sbatch && command -v munged; } >/dev/null; then
        export DEBIAN_FRONTEND=noninteractive
        timeout 120 apt-get update -qq
        timeout 300 apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null
    fi
    install -d -o munge -g munge /run/munge /var/log/munge /var/lib/munge
    chmod 755 /run/munge
    [ -s /etc/munge/munge.key ] || { dd if=/dev/urandom of=/etc/munge/munge.key bs=64 count=16 status=none; }
    chown munge:munge /etc/munge/munge.key && chmod 400 /etc/munge/munge.key
    pgrep -x munged >/dev/null || runuser -u munge -- munged
    munge -n | unmunge >/dev/null
    for number in 0 1; do [ -e "/dev/fakegpu$number" ] || mknod "/dev/fakegpu$number" c 1 3; done
    install -d /etc/slurm /var/spool/slurmctld /var/spool/slurmd /var/log/slurm
    configuration >/etc/slurm/slurm.conf
    echo "NodeName=$host Name=gpu Type=h100 File=/dev/fakegpu[0-1]" >/etc/slurm/gres.conf
    rm -rf /var/spool/slurmctld/* # jobs of an earlier one
    slurmctld -i
    slurmd
    for _ in $(seq 60); do
        state=$(sinfo -h -p cpu -o %T 2>/dev/null || true)
        case "$state" in
            idle | mixed | allocated)
                echo started
                exit 0
                ;;
            *drain* | *down* | inval) scontrol update nodename="$host" state=resume || true ;;
        esac
        sleep 1
    done
    echo "the node is '$state'; see /var/log/slurm" >&2
    exit 1
}

configuration() {
    cat <<EOF
ClusterName=skyloom
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
# no cgroups: memory and devices are counted, not enforced
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=5
KillWait=3
MinJobAge=300
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=4 RealMemory=16000 Gres=gpu:h100:2 State=UNKNOWN
PartitionName=cpu Nodes=ALL Default=YES MaxTime=UNLIMITED State=UP PriorityTier=1
PartitionName=gpu Nodes=ALL MaxTime=UNLIMITED State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=UNLIMITED State=UP PriorityTier=100 PreemptMode=off
EOF
}

down() {
    scontrol shutdown 2>/dev/null || true
    for file in /run/slurmd.pid /run/slurmctld.pid /run/munge/munged.pid; do
        [ -f "$file" ] && kill "$(cat "$file")" 2>/dev/null || true
    done
}

"$1"
