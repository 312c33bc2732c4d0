"""The grammar of our Mandarin sentences, each word with its pinyin. Read by texts."""

MANDARIN = """
S = {clause} 。 | {clause} 。 | {when} ， {clause} 。 | {clause} ， {link} {clause} 。 | {question} ？
    | {question} ？ | {exclaim} ！ | {smalltalk} 。 | {number} 。 | {opinion} 。 | {plan} 。 | {advice} 。
    | {tongue} 。 | {exclaim} ！ {clause} 。
link = 但是/dan4shi4 | 所以/suo3yi3 | 而且/er2qie3 | 因为/yin1wei4 | 不过/bu2guo4 | 然后/ran2hou4 | 虽然/sui1ran2
clause = {who} {when} {did} {thing} | {who} {where} {did} {thing} | {thing} {very} {quality}
    | {who} {very} {feeling} | {who} {went} {place} | {who} 说/shuo1 {thing} {very} {quality} | {it}
    | {who} 给/gei3 {who} {did} {thing} | {who} 和/he2 {who} {where} {did} {thing}
    | {who} 把/ba3 {object} 放/fang4 在/zai4 {spot}
who = 我/wo3 | 你/ni3 | 他/ta1 | 我们/wo3men5 | 他们/ta1men5 | 妈妈/ma1ma5 | 爸爸/ba4ba5 | 我/wo3 哥哥/ge1ge5
    | 老师/lao3shi1 | 奶奶/nai3nai5 | 小/xiao3 朋友/peng2you5 | 王/wang2 先生/xian1sheng5 | 李/li3 小姐/xiao3jie3
    | 邻居/lin2ju1 | 医生/yi1sheng1 | 司机/si1ji1 | 姐姐/jie3jie5 | 我/wo3 弟弟/di4di5 | 她/ta1 妹妹/mei4mei5
    | 学生/xue2sheng5 | 那/na4 位/wei4 老人/lao3ren2 | 张/zhang1 经理/jing1li3 | 大家/da4jia1 | 服务员/fu2wu4yuan2
    | 我的/wo3de5 同学/tong2xue2
when = 今天/jin1tian1 | 昨天/zuo2tian1 | 明天/ming2tian1 | 早上/zao3shang5 | 晚上/wan3shang5
    | 上/shang4 个/ge5 星期/xing1qi1 | 下午/xia4wu3 三/san1 点/dian3 | 去年/qu4nian2 夏天/xia4tian1
    | 周末/zhou1mo4 | 刚才/gang1cai2 | 现在/xian4zai4 | 每天/mei3tian1 | 冬天/dong1tian1 | 十二/shi2er4 月/yue4
    | 星期/xing1qi1 五/wu3 | 中午/zhong1wu3 | 春节/chun1jie2
where = 在/zai4 {place} | 从/cong2 {place} | 在/zai4 家/jia1 里/li3 | 在/zai4 {place} 旁边/pang2bian1
place = 学校/xue2xiao4 | 北京/bei3jing1 | 上海/shang4hai3 | 公园/gong1yuan2 | 图书馆/tu2shu1guan3
    | 火车站/huo3che1zhan4 | 超市/chao1shi4 | 医院/yi1yuan4 | 饭馆/fan4guan3 | 广州/guang3zhou1 | 机场/ji1chang3
    | 河边/he2bian1 | 山上/shan1shang4 | 博物馆/bo2wu4guan3 | 银行/yin2hang2 | 邮局/you2ju2 | 厨房/chu2fang2
    | 办公室/ban4gong1shi4 | 四川/si4chuan1 | 云南/yun2nan2
did = 买了/mai3le5 | 看了/kan4le5 | 喜欢/xi3huan5 | 想要/xiang3yao4 | 找到了/zhao3dao4le5 | 带来了/dai4lai2le5
    | 准备/zhun3bei4 | 忘了/wang4le5 | 卖了/mai4le5 | 送了/song4le5 | 画了/hua4le5 | 需要/xu1yao4
    | 听说过/ting1shuo1guo5 | 做了/zuo4le5 | 选了/xuan3le5 | 发现了/fa1xian4le5 | 修好了/xiu1hao3le5
    | 借了/jie4le5 | 讨论/tao3lun4 | 介绍了/jie4shao4le5
thing = {measure} {object} | {measure} {quality} 的/de5 {object} | 这/zhe4 {measure} {object}
    | {who} 的/de5 {object}
measure = 一个/yi2ge4 | 两个/liang3ge4 | 三个/san1ge4 | 那个/na4ge4 | 这个/zhe4ge4 | 几个/ji3ge4 | 很多/hen3duo1
    | 八个/ba1ge4
object = 苹果/ping2guo3 | 书包/shu1bao1 | 杯子/bei1zi5 | 手机/shou3ji1 | 自行车/zi4xing2che1 | 蛋糕/dan4gao1
    | 报纸/bao4zhi3 | 电脑/dian4nao3 | 雨伞/yu3san3 | 月饼/yue4bing5 | 礼物/li3wu4 | 照片/zhao4pian4
    | 鸡蛋/ji1dan4 | 房子/fang2zi5 | 故事/gu4shi5 | 问题/wen4ti2 | 椅子/yi3zi5 | 词典/ci2dian3 | 风筝/feng1zheng5
    | 葡萄/pu2tao5 | 熊猫/xiong2mao1 | 饺子/jiao3zi5 | 绿茶/lv4cha2 | 咖啡/ka1fei1 | 钥匙/yao4shi5 | 毛衣/mao2yi1
    | 女儿/nv3er2 | 眼镜/yan3jing4 | 歌曲/ge1qu3 | 计划/ji4hua4 | 牛肉面/niu2rou4mian4
spot = 桌子/zhuo1zi5 上/shang4 | 门/men2 外面/wai4mian4 | 窗户/chuang1hu5 旁边/pang2bian1
    | 床/chuang2 下面/xia4mian4 | 车/che1 里/li3 | 冰箱/bing1xiang1 里/li3 | 书架/shu1jia4 上/shang4
    | 箱子/xiang1zi5 里面/li3mian4
very = 很/hen3 | 非常/fei1chang2 | 真/zhen1 | 特别/te4bie2 | 有点儿/you3dian3r5 | 不太/bu2tai4 | 比较/bi3jiao4
    | 一点儿/yi4dian3r5 也不/ye3bu4
quality = 大/da4 | 便宜/pian2yi5 | 漂亮/piao4liang5 | 新鲜/xin1xian1 | 有意思/you3yi4si5 | 旧/jiu4 | 贵/gui4
    | 好吃/hao3chi1 | 重要/zhong4yao4 | 奇怪/qi2guai4 | 方便/fang1bian4 | 安静/an1jing4 | 可爱/ke3ai4
    | 普通/pu3tong1 | 干净/gan1jing4 | 有用/you3yong4
feeling = 高兴/gao1xing4 | 累/lei4 | 着急/zhao2ji2 | 满意/man3yi4 | 紧张/jin3zhang1 | 生气/sheng1qi4
    | 舒服/shu1fu5 | 忙/mang2 | 害怕/hai4pa4 | 骄傲/jiao1ao4 | 开心/kai1xin1 | 难过/nan2guo4 | 饿/e4
    | 感动/gan3dong4 | 热情/re4qing2
went = 去了/qu4le5 | 到/dao4 | 离开了/li2kai1le5 | 路过/lu4guo4 | 回/hui2 | 想去/xiang3qu4 | 没/mei2 去过/qu4guo5
it = 外面/wai4mian4 下雨了/xia4yu3le5 | 天气/tian1qi4 越来越/yue4lai2yue4 冷/leng3
    | 时间/shi2jian1 过得/guo4de5 真快/zhen1kuai4 | 花园/hua1yuan2 里/li3 的/de5 花/hua1 都/dou1 开了/kai1le5
    | 电话/dian4hua4 响了/xiang3le5 | 月亮/yue4liang5 出来了/chu1lai2le5
    | 公共汽车/gong1gong4qi4che1 还没/hai2mei2 来/lai2 | 水/shui3 已经/yi3jing1 开了/kai1le5
    | 路上/lu4shang5 人/ren2 很多/hen3duo1 | 风/feng1 刮得/gua1de5 很/hen3 厉害/li4hai5
    | 孩子们/hai2zi5men5 在/zai4 唱歌/chang4ge1
question = {who} {when} 去/qu4 哪儿/na3r5 | {thing} 多少/duo1shao5 钱/qian2 | 你/ni3 喜欢/xi3huan5 {thing} 吗/ma5
    | {who} 为什么/wei4shen2me5 {very} {feeling} | 谁/shei2 {did} {thing} | 现在/xian4zai4 几/ji3 点/dian3
    | {thing} {quality} 吗/ma5 | 我们/wo3men5 一起/yi4qi3 去/qu4 {place} ， 好/hao3 不好/bu4hao3
    | 你/ni3 什么/shen2me5 时候/shi2hou5 回/hui2 {place} | {place} 离/li2 {place} 远/yuan3 不/bu4 远/yuan3
    | 你/ni3 听说过/ting1shuo1guo5 {thing} 吗/ma5 | {who} 怎么/zen3me5 还/hai2 没/mei2 来/lai2
    | 请问/qing3wen4 ， {place} 怎么/zen3me5 走/zou3 | 要/yao4 {object} 还是/hai2shi4 要/yao4 {object}
    | 这/zhe4 是/shi4 {who} 的/de5 {object} 吗/ma5
exclaim = 太好了/tai4hao3le5 | 哎呀/ai1ya1 | 生日/sheng1ri4 快乐/kuai4le4 | 小心/xiao3xin1 | 加油/jia1you2
    | 没关系/mei2guan1xi5 | 真的/zhen1de5 | 恭喜/gong1xi3 发财/fa1cai2 | 欢迎/huan1ying2 光临/guang1lin2
    | 哇/wa1 ， {quality} 的/de5 {object} | 快/kuai4 来/lai2 看/kan4 | 别/bie2 走/zou3 | 对不起/dui4bu5qi3
    | 好/hao3 {quality} 的/de5 {object} | 当然/dang1ran2 可以/ke3yi3 | 救命/jiu4ming4
smalltalk = 你好/ni3hao3 ， 我/wo3 叫/jiao4 {name} | 很/hen3 高兴/gao1xing4 认识/ren4shi5 你/ni3 ， {name}
    | 再见/zai4jian4 ， {name} ， {when} 见/jian4 | 谢谢/xie4xie5 你/ni3 的/de5 {object} ， {name}
    | 早上/zao3shang5 好/hao3 ， {name} | 请/qing3 坐/zuo4 ， 喝/he1 {object} | 不好意思/bu4hao3yi4si5 ， {it}
    | 祝/zhu4 {who} 身体/shen1ti3 健康/jian4kang1 | 请/qing3 再/zai4 说/shuo1 一遍/yi2bian4 ， {name}
name = 小明/xiao3ming2 | 美玲/mei3ling2 | 志强/zhi4qiang2 | 文华/wen2hua2 | 雨欣/yu3xin1 | 国庆/guo2qing4
    | 秀英/xiu4ying1 | 子涵/zi3han2 | 俊杰/jun4jie2
number = 一共/yi2gong4 {digit} 百/bai3 {digit} 十/shi2 {digit} 块/kuai4 钱/qian2
    | 我的/wo3de5 电话/dian4hua4 是/shi4 {digit} {digit} {digit} ， {digit} {digit} {digit} {digit}
    | {when} {digit} 点/dian3 {digit} 十/shi2 分/fen1 | 第/di4 {digit} 十/shi2 {digit} 页/ye4
    | {place} 有/you3 {digit} 千/qian1 {digit} 百/bai3 人/ren2
    | 今年/jin1nian2 {who} {digit} 十/shi2 {digit} 岁/sui4
    | 二/er4 零/ling2 {digit} {digit} 年/nian2 {digit} 月/yue4 {digit} 号/hao4
digit = 一/yi1 | 二/er4 | 三/san1 | 四/si4 | 五/wu3 | 六/liu4 | 七/qi1 | 八/ba1 | 九/jiu3
opinion = 我/wo3 觉得/jue2de5 {thing} {very} {quality} | 听说/ting1shuo1 {place} 的/de5 {object} {very} {quality}
    | {place} 比/bi3 {place} {quality} 多了/duo1le5 | 除了/chu2le5 {object} ， {who} 还/hai2 {did} {thing}
plan = {when} {who} 打算/da3suan4 去/qu4 {place}
    | {who} 想/xiang3 先/xian1 去/qu4 {place} ， 再/zai4 去/qu4 {place}
    | 等/deng3 {who} 回来/hui2lai2 ， 我们/wo3men5 就/jiu4 去/qu4 {place}
    | 如果/ru2guo3 {it} ， {who} 就/jiu4 不/bu2 去/qu4 {place} 了/le5
advice = 请/qing3 把/ba3 {object} 放/fang4 在/zai4 {spot} | 别/bie2 忘了/wang4le5 {object}
    | 你/ni3 应该/ying1gai1 多/duo1 喝/he1 水/shui3 ， 少/shao3 喝/he1 {object}
    | 先/xian1 看/kan4 {object} ， 再/zai4 买/mai3 {object}
tongue = 四/si4 是/shi4 四/si4 ， 十/shi2 是/shi4 十/shi2 ， {digit} 十/shi2 四/si4 是/shi4 {digit} 十/shi2 四/si4
    | 吃/chi1 葡萄/pu2tao5 不/bu4 吐/tu3 葡萄皮/pu2tao5pi2 ， {who} {did} {thing}
    | 妈妈/ma1ma5 骑/qi2 马/ma3 ， 马/ma3 慢/man4 ， {who} 骂/ma4 马/ma3
    | 红/hong2 凤凰/feng4huang2 ， 粉/fen3 凤凰/feng4huang2 ， {who} 的/de5 凤凰/feng4huang2
    | 八/ba1 百/bai3 标兵/biao1bing1 奔/ben1 {place}
"""
